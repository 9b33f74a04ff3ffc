import { describe, expect, it, vi } from 'vitest';
import { SpanError } from '../data/assistant_spans.ts';
import type { ChatSetup } from '../data/chat_renderer.ts';
import { ChatTemplateError } from '../data/chat_template.ts';
import { RowPreparer } from '../data/masks.ts';
import { Tokenizer } from '../data/tokenizer.ts';
import { ChatTemplateStoppedError, containedChat } from './contained_chat.ts';
import type { CreateTemplateWorker, TemplateReply, TemplateRequest } from './template_protocol.ts';
import { serveTemplates } from './template_service.ts';

const CHATML =
  "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
const setup = (template = CHATML): ChatSetup => ({
  template,
  specialTokens: { eos_token: '<|end|>' },
  turnTokens: { eosToken: '<|end|>', addedTokens: ['<|end|>'] },
  now: 0,
});
const chat = (content = 'Hi') => [
  { role: 'user', content },
  { role: 'assistant', content: 'Yo' },
];

/** Workers that do what the real one does, in this thread, but never answer what `hangs`, and end at what `dies`. */
function workers(behaviour: { hangs?: RegExp; dies?: RegExp; silent?: boolean } = {}) {
  const log = { started: 0, terminated: 0, requests: [] as string[] };
  const create: CreateTemplateWorker = (onReply, onFailure) => {
    log.started++;
    let alive = true;
    const say = (reply: TemplateReply) => queueMicrotask(() => alive && onReply(structuredClone(reply)));
    const serve = behaviour.silent ? () => {} : serveTemplates(say);
    return {
      post(request: TemplateRequest) {
        log.requests.push(request.type);
        const text = JSON.stringify(request);
        if (behaviour.dies?.test(text)) queueMicrotask(() => alive && onFailure('out of memory'));
        else if (!behaviour.hangs?.test(text)) serve(structuredClone(request));
      },
      terminate() {
        log.terminated++;
        alive = false;
      },
    };
  };
  return { log, create };
}

describe('containedChat', () => {
  it('renders, and gives the refusals back by their names', async () => {
    const { create, log } = workers();
    const renderer = containedChat(create)(setup());
    await renderer.open();
    const { text, spans } = await renderer.render(chat(), true);
    expect(text).toBe('<|user|>Hi<|end|><|assistant|>Yo<|end|>');
    expect(spans.map(({ start, end }) => text.slice(start, end))).toEqual(['Yo<|end|>']);
    expect((await renderer.render(chat(), false)).spans).toEqual([]);
    const eos = [chat()[0]!, { role: 'assistant', content: '<|end|>' }];
    await expect(renderer.render(eos, true)).rejects.toThrow(SpanError);
    const picky = containedChat(create)(setup("{{ raise_exception('<script>no</script>') }}"));
    const error = await picky.render(chat(), false).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ChatTemplateError);
    expect(error).toMatchObject({ detail: '<script>no</script>' });
    await expect(containedChat(create)(setup('{% for %}')).open()).rejects.toThrow('cannot be read');
    expect(log.requests.filter((type) => type === 'open')).toHaveLength(3);
  });

  it('throws a worker away that does not answer in time, and goes on with another', async () => {
    const { create, log } = workers({ hangs: /forever/ });
    const renderer = containedChat(create, { milliseconds: 30 })(setup());
    const began = performance.now();
    await expect(renderer.render(chat('forever'), true)).rejects.toThrow('stopped: it did not end within 0.03 s');
    expect(performance.now() - began).toBeLessThan(1000);
    expect(log).toMatchObject({ started: 1, terminated: 1 });
    expect((await renderer.render(chat(), true)).spans).toHaveLength(1);
    expect(log.started).toBe(2);
  });

  it('takes a worker that ends by itself for the template’s doing', async () => {
    const { create } = workers({ dies: /greedy/ });
    const renderer = containedChat(create)(setup());
    await expect(renderer.render(chat('greedy'), true)).rejects.toThrow('stopped: out of memory');
    expect((await renderer.render(chat(), true)).spans).toHaveLength(1);
  });

  it('gives a template up that was stopped often, by another error than a row’s', async () => {
    const { create, log } = workers({ hangs: /forever/ });
    const renderer = containedChat(create, { milliseconds: 10, stops: 2 })(setup());
    for (let i = 0; i < 2; i++) await expect(renderer.render(chat('forever'), true)).rejects.toThrow(ChatTemplateError);
    await expect(renderer.render(chat(), true)).rejects.toThrow(ChatTemplateStoppedError);
    expect(log).toMatchObject({ started: 2, terminated: 2 });
  });

  it('does not count a worker that cannot be started as the template’s fault', async () => {
    const renderer = containedChat(workers({ silent: true }).create, { startMilliseconds: 10 })(setup());
    for (let i = 0; i < 4; i++) await expect(renderer.open()).rejects.toThrow('did not start');
  });

  it('answers each of many requests at once with its own', async () => {
    const { create, log } = workers({ hangs: /c3/ });
    const renderer = containedChat(create, { milliseconds: 30 })(setup());
    const texts = await Promise.all(
      [0, 1, 2, 3, 4].map((k) =>
        renderer.render(chat(`c${k}`), false).then(
          (one) => one.text.slice(8, 10),
          () => 'stopped',
        ),
      ),
    );
    expect(texts).toEqual(['c0', 'c1', 'c2', 'stopped', 'c4']);
    expect(log.started).toBe(2);
  });

  it('lets an idle worker go, and starts another when it is asked again', async () => {
    const { create, log } = workers();
    const renderer = containedChat(create, { idleMilliseconds: 10 })(setup());
    await renderer.render(chat(), true);
    await vi.waitFor(() => expect(log.terminated).toBe(1));
    await renderer.render(chat(), true);
    expect(log.started).toBe(2);
  });
});

describe('rows of a template that hangs', () => {
  const bytes = Object.fromEntries([...Array(95).keys()].map((k) => [String.fromCharCode(32 + k), k]));
  const tokenizer = new Tokenizer({
    tokenizer: {
      model: { type: 'BPE', vocab: { ...bytes, Ġ: 95 }, merges: [] },
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
    },
    config: {},
    specialTokens: { eos_token: '<|end|>' },
    chatTemplate: CHATML,
  });
  const row = (content: string) => ({ kind: 'messages' as const, line: 1, messages: chat(content) });

  it('are left out with the reason, one by one, until it is given up', async () => {
    const { create } = workers({ hangs: /forever/ });
    const config = { max_length: 99, assistant_only_loss: true };
    const preparer = new RowPreparer(tokenizer, config, containedChat(create, { milliseconds: 10 }));
    expect((await preparer.prepare(row('a'))).kind).toBe('example');
    for (let i = 0; i < 3; i++) {
      expect(await preparer.prepare(row('forever'))).toMatchObject({
        kind: 'dropped',
        code: 'template-refused',
        reason: expect.stringContaining('did not end within'),
      });
    }
    await expect(preparer.prepare(row('forever'))).rejects.toThrow('stopped 3 times in a row');
  });
});
