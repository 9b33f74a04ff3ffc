import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderHere } from './chat_renderer.ts';
import { chatTemplateCases, jsonl, loadAll, memoryFile, readRows, smallTokenizer } from './fixtures/testing.ts';
import { EmptyDatasetError, type PrepareOptions, prepareDataset } from './prepare.ts';
import { RowError } from './rows.ts';

const chatml = chatTemplateCases().find((one) => one.name === 'chatml')!;
const tokenizer = smallTokenizer(chatml.special_tokens, chatml.added_tokens, chatml.template);
const prepare = async (content: string | Uint8Array, change: Partial<PrepareOptions> = {}) => {
  const { rows, problems } = await readRows([memoryFile(content)]);
  const config = { max_length: 24, assistant_only_loss: true };
  const dataset = await prepareDataset({
    rows,
    problems,
    tokenizer,
    config,
    openChat: renderHere,
    strict: true,
    ...change,
  });
  return { ...dataset, examples: await loadAll(dataset) };
};
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
        { file: 'data.jsonl', line: 6, field: '', kind: 'prompt-not-a-token-prefix', reason: expect.any(String) },
        { file: 'data.jsonl', line: 7, field: '', kind: 'nothing-to-train', reason: expect.any(String) },
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
    ['bad JSON', '{"text":"a b"}\n\n{"text":\n', 'Line 3: Not valid JSON'],
    ['a line that is no object', '"hello"\n', 'Line 1: the line is a string'],
    ['tool calls', jsonl([{ messages: [{ role: 'user', content: 'a', tool_calls: [1] }] }]), 'tool_calls'],
  ])('stops at %s, with its line', async (_, content, message) => {
    await expect(prepare(content)).rejects.toThrow(RowError);
    await expect(prepare(content)).rejects.toThrow(message);
    await expect(prepare(jsonl([{ text: 'a b' }]))).resolves.toBeDefined();
  });

  it('stops at bad UTF-8, with its line', async () => {
    const content = Uint8Array.of(...new TextEncoder().encode('{"text":"a b"}\n"'), 0xff, 0x22);
    await expect(prepare(content)).rejects.toThrow('Line 2: Not valid UTF-8');
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
    await prepare(content, { onProgress: ({ rows, totalRows }) => seen.push(rows / totalRows) });
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

  it('lists rows that are none and goes on, where it need not be strict', async () => {
    const content = '{"text":"a b"}\n{"text":\n{"body":"x"}\n{"text":"c d"}\n';
    const { examples, summary } = await prepare(content, { strict: false });
    expect(examples).toHaveLength(2);
    expect(summary.rows).toBe(4);
    expect(summary.dropped.map(({ line, kind, field }) => [line, kind, field])).toEqual([
      [2, 'syntax', ''],
      [3, 'missing-field', 'text'],
    ]);
    expect(summary.droppedByKind).toEqual({ syntax: 1, 'missing-field': 1 });
  });

  it('counts duplicates, and removes them when asked to', async () => {
    const content = jsonl([
      { text: 'a b' },
      { text: 'c d' },
      { text: 'a b', id: 7 },
      messages('a', 'b'),
      { text: 'a b' },
    ]);
    const kept = await prepare(content);
    expect(kept.summary).toMatchObject({ examples: 5, duplicates: 2, droppedCount: 0 });
    expect([...kept.groups]).toEqual([0, 1, 0, 3, 0]);
    const removed = await prepare(content, { removeDuplicates: true });
    expect(removed.examples).toEqual([kept.examples[0], kept.examples[1], kept.examples[3]]);
    expect([...removed.groups]).toEqual([0, 1, 2]);
    expect(removed.summary.dropped).toMatchObject([
      { line: 3, kind: 'duplicate', reason: 'The same as line 1.' },
      { line: 5, kind: 'duplicate', reason: 'The same as line 1.' },
    ]);
  });

  it('prepares again what it does not hold, to the same tokens', async () => {
    const content = jsonl(Array.from({ length: 30 }, (_, i) => messages(`Question ${i}`, `It is ${i * i}.`)));
    const held = await prepare(content);
    const again = await prepare(content, { tokenBudget: 40 });
    expect(again.examples).toEqual(held.examples);
    expect([...again.lengths]).toEqual(held.examples.map(({ ids }) => ids.length));
  });

  it('tells lengths before they are cut', async () => {
    const { summary } = await prepare(jsonl([{ text: 'a b' }, { text: 'a b '.repeat(50) }]));
    expect(summary.lengths.count).toBe(2);
    expect(summary.lengths.max).toBeGreaterThan(24);
    expect(summary.longest).toBe(24);
    expect(summary.lengths.bins.reduce((sum, rows) => sum + rows, 0)).toBe(2);
  });

  it('reads several files as one set, and names the file', async () => {
    const { rows, problems } = await readRows([
      memoryFile(jsonl([{ text: 'a b' }]), 'one.jsonl'),
      memoryFile('text\nc d\n"e\nf"\n', 'two.csv'),
      memoryFile('{"text": 3}\n', 'three.jsonl'),
    ]);
    const config = { max_length: 24, assistant_only_loss: false };
    const { summary, lengths } = await prepareDataset({ rows, problems, tokenizer, config, openChat: renderHere });
    expect(lengths).toHaveLength(3);
    expect(summary.dropped).toMatchObject([{ file: 'three.jsonl', line: 1, field: 'text', kind: 'wrong-type' }]);
  });
});
