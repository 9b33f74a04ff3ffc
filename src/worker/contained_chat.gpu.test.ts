/** In Chromium, with the real worker. */
import { describe, expect, it } from 'vitest';
import type { ChatSetup } from '../data/chat_renderer.ts';
import { createBrowserTemplateWorker } from './browser_template_worker.ts';
import { containedChat } from './contained_chat.ts';

const PLAIN =
  '{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}';
const chat = [
  { role: 'user', content: 'Hi' },
  { role: 'assistant', content: 'Yo' },
];
const open = (template: string) => {
  const setup: ChatSetup = {
    template,
    specialTokens: {},
    turnTokens: { eosToken: undefined, addedTokens: [] },
    now: 0,
  };
  return containedChat(createBrowserTemplateWorker)(setup);
};

/** The longest that this thread could not do anything else. */
function watchThread() {
  let last = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 4);
  return () => {
    clearInterval(timer);
    return longest;
  };
}

const DOUBLING = '{% set ns = namespace(x=["ab"]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}';

describe('a template that', () => {
  it.each([
    [
      'loops in loops',
      '{% for i in range(90000) %}{% for j in range(90000) %}{% if i < 0 %}x{% endif %}{% endfor %}{% endfor %}',
      'did not end',
    ],
    ['counts to a billion', '{% for i in range(1000000000) %}x{% endfor %}', '1000000000 is longer'],
    [
      'prints without end',
      '{% for i in range(90000) %}{% for j in range(90000) %}{{ "xxxxxxxx" }}{% endfor %}{% endfor %}',
      'stopped|memory|longer',
    ],
    ['doubles a list', DOUBLING, 'memory'],
    ['doubles a text', DOUBLING.replace('["ab"]', '"ab"'), 'memory'],
    [
      'nests a list in itself',
      `${DOUBLING.replace('ns.x + ns.x', '[ns.x, ns.x]')}{{ ns.x | tojson }}`,
      'stopped|memory|longer',
    ],
  ])('%s is stopped within two seconds, and nothing else waits', async (_, template, reason) => {
    const control = open(PLAIN);
    await control.render(chat, true);
    const renderer = open(`${template}${PLAIN}`);
    const stopWatching = watchThread();
    // The worker's start is the machine's time, not the template's.
    await open(PLAIN).open();
    const began = performance.now();
    const error = await renderer.render(chat, false).catch((caught: unknown) => caught);
    const took = performance.now() - began;
    expect(String(error)).toMatch(new RegExp(reason));
    expect(error).toMatchObject({ name: 'ChatTemplateError' });
    expect(took).toBeLessThan(2000);
    expect(stopWatching()).toBeLessThan(200);
    const { text, spans } = await control.render(chat, true);
    expect(spans.map(({ start, end }) => text.slice(start, end))).toEqual(['Yo;']);
  });

  it('prints a script prints text', async () => {
    const { text } = await open('{{ messages[0].content }}<script>globalThis.hit = 1</script>').render(chat, false);
    expect(text).toBe('Hi<script>globalThis.hit = 1</script>');
    expect(globalThis).not.toHaveProperty('hit');
  });
});
