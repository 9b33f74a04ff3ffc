import { describe, expect, it } from 'vitest';
import { ChatTemplateError, compileChatTemplate } from './chat_template.ts';
import { chatTemplateCases } from './fixtures/testing.ts';
import type { Message } from './rows.ts';

const chat: Message[] = [
  { role: 'user', content: 'Hi' },
  { role: 'assistant', content: 'Hello' },
];

describe('compileChatTemplate', () => {
  describe.each(chatTemplateCases())('$name', ({ template, special_tokens, renders }) => {
    const render = compileChatTemplate(template, special_tokens);
    it('renders what transformers renders', () => {
      for (const one of renders) {
        if ('error' in one) {
          expect(() => render(one.messages, false)).toThrow(ChatTemplateError);
          continue;
        }
        expect(render(one.messages, false)).toBe(one.text);
        const prompts = one.messages.flatMap((message, index) =>
          message.role === 'assistant' ? [attempt(() => render(one.messages.slice(0, index), true))] : [],
        );
        expect(prompts).toEqual(one.prompts);
      }
    });
  });

  it('passes the template’s own message on', () => {
    const render = compileChatTemplate("{{ raise_exception('Roles must alternate!') }}", {});
    expect(() => render(chat, false)).toThrow(
      "The model's chat template refuses this conversation: Roles must alternate!",
    );
    expect(compileChatTemplate('fine', {})(chat, false)).toBe('fine');
  });

  it('names a template that cannot be read', () => {
    expect(() => compileChatTemplate('{% for m in messages %}', {})).toThrow(ChatTemplateError);
    expect(() => compileChatTemplate('{% for m in messages %}{% endfor %}', {})).not.toThrow();
  });

  it('refuses a range that would fill the memory', () => {
    const render = compileChatTemplate('{% for i in range(1000000000) %}x{% endfor %}', {});
    expect(() => render(chat, false)).toThrow('range() of 1000000000');
    const control = compileChatTemplate(
      '{% for i in range(2, 11, 4) %}{{ i }}.{% endfor %}{{ range(3) | length }}',
      {},
    );
    expect(control(chat, false)).toBe('2.6.10.3');
    expect(compileChatTemplate('{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}', {})(chat, false)).toBe('321');
  });

  it('knows the date it is told, in English', () => {
    const now = new Date(2026, 2, 5, 15, 4, 9);
    const render = (format: string) => compileChatTemplate(`{{ strftime_now('${format}') }}`, {}, { now })(chat, false);
    expect(render('%d %b %Y')).toBe('05 Mar 2026');
    expect(render('%A %B %y %I:%M %p %H %S %m %a %% %Q')).toBe('Thursday March 26 03:04 PM 15 09 03 Thu % %Q');
  });

  it('gives no way out of the template', () => {
    const reach = (expression: string) => compileChatTemplate(`[{{ ${expression} }}]`, {});
    for (const expression of ['messages.constructor', "messages['__proto__']", "''.constructor.constructor"]) {
      let result = '[]';
      try {
        result = reach(expression)(chat, false);
      } catch (error) {
        expect(error).toBeInstanceOf(ChatTemplateError);
      }
      expect(result).toBe('[]');
    }
    expect(reach('messages | length')(chat, false)).toBe('[2]');
    const script = compileChatTemplate('{{ messages[0].content }}', {});
    expect(script([{ role: 'user', content: '<script>{{ 7 * 7 }}</script>' }], false)).toBe(
      '<script>{{ 7 * 7 }}</script>',
    );
  });

  it('prints nothing for a token that the model lacks, and reads CRLF templates', () => {
    expect(compileChatTemplate('a{{ bos_token }}b', {})(chat, false)).toBe('ab');
    expect(compileChatTemplate('{% if true %}\r\nx\r\n{% endif %}\r\ny', {})(chat, false)).toBe('x\ny');
  });
});

function attempt(render: () => string): string | null {
  try {
    return render();
  } catch {
    return null;
  }
}
