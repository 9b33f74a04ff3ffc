import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderHere } from './chat_renderer.ts';
import { chatTemplateCases, jsonl, memoryFile, smallTokenizer } from './fixtures/testing.ts';
import { EmptyDatasetError, type PrepareOptions, prepareDataset } from './prepare.ts';
import { RowError } from './rows.ts';

const chatml = chatTemplateCases().find((one) => one.name === 'chatml')!;
const tokenizer = smallTokenizer(chatml.special_tokens, chatml.added_tokens, chatml.template);
const prepare = (content: string | Uint8Array, change: Partial<PrepareOptions> = {}) =>
  prepareDataset({
    source: memoryFile(content),
    tokenizer,
    config: { max_length: 24, assistant_only_loss: true },
    openChat: renderHere,
    ...change,
  });
const messages = (...contents: string[]) => ({
  messages: contents.map((content, index) => ({ role: index % 2 ? 'assistant' : 'user', content })),
});

describe('prepareDataset', () => {
  it('accounts for every row', async () => {
    const rows = [
      { text: 'Once upon a time there was a king. '.repeat(9) },
      { text: 'hm' },
      { prompt: 'a', completion: ' b' },
      messages('a', 'b'),
      { prompt: 'This is ', completion: 'the' },
      messages('only me'),
    ];
    const { examples, summary } = await prepare(`\n${jsonl(rows)}`);
    expect(examples).toHaveLength(4);
    expect(summary).toMatchObject({
      rows: 6,
      kinds: { text: 2, prompt: 2, messages: 2 },
      examples: 4,
      longest: 24,
      truncated: 1,
      dropped: [
        { line: 6, code: 'prompt-not-a-token-prefix', reason: expect.any(String) },
        { line: 7, code: 'nothing-to-train', reason: expect.any(String) },
      ],
      notes: [],
    });
    expect(summary.tokens).toBe(examples.reduce((sum, one) => sum + one.ids.length, 0));
    const trained = examples.flatMap((one) => one.labels.slice(1)).filter((label) => label !== -100);
    expect(summary.trainedTokens).toBe(trained.length);
  });

  it('counts notes once for all rows', async () => {
    const bare = smallTokenizer({});
    const { summary } = await prepare(jsonl([{ text: 'a b' }, { text: 'c d' }]), { tokenizer: bare });
    expect(summary.notes).toEqual([{ text: expect.stringContaining('no eos_token'), rows: 2, firstLine: 1 }]);
  });

  it.each<[string, string, string]>([
    ['a row without its field', jsonl([{ text: 'a b' }, { body: 'x' }]), 'Line 2: the row has no text field'],
    ['bad JSON', '{"text":"a b"}\n\n{"text":\n', 'Line 3: not valid JSON'],
    ['a line that is no object', '"hello"\n', 'Line 1: the line is a string'],
    ['tool calls', jsonl([{ messages: [{ role: 'user', content: 'a', tool_calls: [1] }] }]), 'tool_calls'],
  ])('stops at %s, with its line', async (_, content, message) => {
    await expect(prepare(content)).rejects.toThrow(RowError);
    await expect(prepare(content)).rejects.toThrow(message);
    await expect(prepare(jsonl([{ text: 'a b' }]))).resolves.toBeDefined();
  });

  it('stops at bad UTF-8, with its line', async () => {
    const content = Uint8Array.of(...new TextEncoder().encode('{"text":"a b"}\n"'), 0xff, 0x22);
    await expect(prepare(content)).rejects.toThrow('Line 2: the line is not valid UTF-8');
  });

  it('says when there is nothing to train on, and why', async () => {
    await expect(prepare('\n\n')).rejects.toThrow(EmptyDatasetError);
    await expect(prepare('')).rejects.toThrow('data.jsonl has no rows.');
    const dropped = jsonl([messages('a'), messages('b'), { text: '' }, { prompt: 'This is ', completion: 'the' }]);
    await expect(prepare(dropped)).rejects.toThrow(
      'None of the 4 rows of data.jsonl can be trained on. Commonest reason (3 of them, first on line 1): the conversation has no ' +
        'assistant message',
    );
    await expect(prepare(`${dropped}${jsonl([{ text: 'a b' }])}`)).resolves.toBeDefined();
  });

  it('tells how far it is, and stops when told to', async () => {
    const content = jsonl(Array.from({ length: 20 }, () => ({ text: 'a b' })));
    const seen: number[] = [];
    await prepare(content, { onProgress: ({ bytesRead, bytes }) => seen.push(bytesRead / bytes) });
    expect(seen.at(-1)).toBe(1);
    await expect(prepare(content, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });

  it('hears an abort while it works', async () => {
    const content = jsonl(Array.from({ length: 20_000 }, (_, index) => ({ text: `a b ${index} `.repeat(20) })));
    const controller = new AbortController();
    const done = prepare(content, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), 20);
    await expect(done).rejects.toThrow('enough');
  });

  it('ends any bytes in examples or a named error', async () => {
    const encode = (text: string) => new TextEncoder().encode(text);
    const pieces = ['\n', '{"text":"a b"}\n', '{"text":""}\n', '{}', '{"messages":[]}\n', '[', '{"__proto__":1}\n'];
    const piece = fc.oneof(
      fc.constantFrom(...pieces.map(encode)),
      fc.uint8Array({ maxLength: 4 }),
      fc.json().map(encode),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (parts) => {
        const content = Uint8Array.from(parts.flatMap((part) => [...part]));
        try {
          const { examples, summary } = await prepare(content);
          expect(examples.length + summary.dropped.length).toBe(summary.rows);
        } catch (error) {
          expect(error instanceof RowError || error instanceof EmptyDatasetError).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });
});
