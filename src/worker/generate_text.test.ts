import { expect, test } from 'vitest';
import { continueTexts, type TextRequest } from './generate_text.ts';

const decoder = { decode: (ids: readonly number[]) => new TextDecoder().decode(Uint8Array.from(ids)) };
const bytes = (text: string) => [...new TextEncoder().encode(text)];

/** A model that knows what it will say: a text a row, by its strength. */
class Script {
  readonly #texts: readonly (readonly number[])[];
  readonly context: number;
  readonly picks: number[] = [];
  #lengths: number[] = [];
  #at: number[] = [];
  #rows: number[] = [];

  constructor(texts: readonly string[], context = 1000) {
    this.#texts = texts.map(bytes);
    this.context = context;
  }
  begin(sequences: readonly { ids: readonly number[]; strength: number }[]) {
    this.#rows = sequences.map(({ strength }) => strength);
    this.#lengths = sequences.map(({ ids }) => ids.length);
    this.#at = sequences.map(() => 0);
  }
  length = (slot: number) => this.#lengths[slot]!;
  #next(slot: number) {
    return this.#texts[this.#rows[slot]!]![this.#at[slot]!] ?? 0;
  }
  async logits(slots: readonly number[]) {
    return slots.map((slot) => {
      const logits = new Float32Array(256).fill(-100);
      logits[this.#next(slot)] = 1;
      return logits;
    });
  }
  push(slot: number) {
    this.#at[slot]!++;
    this.#lengths[slot]!++;
  }
  async pickLikeliest(slots: readonly number[], count: number) {
    this.picks.push(count);
    const picked = slots.map((): number[] => []);
    for (let i = 0; i < count; i++) {
      for (const [n, slot] of slots.entries()) {
        picked[n]!.push(this.#next(slot));
        this.push(slot);
      }
    }
    return picked;
  }
}

const GREEDY = { temperature: 0, top_k: 0, top_p: 1, seed: 1, max_new_tokens: 100 };
const request = (changes: Partial<TextRequest> = {}): TextRequest => ({
  rows: [0, 1].map((strength) => ({ prompt: { ids: [1, 2], text: 'x' }, strength })),
  sampling: GREEDY,
  stops: { ids: new Set([0]), texts: [] },
  ...changes,
});

async function run(script: Script, changes: Partial<TextRequest> = {}, signal = new AbortController().signal) {
  const streamed = ['', ''];
  const onText = (row: number, piece: string) => {
    streamed[row] += piece;
  };
  const texts = await continueTexts(script, decoder, request(changes), { signal, onText });
  expect(streamed.slice(0, texts.length)).toEqual(texts.map(({ text }) => text));
  return texts;
}

test.each([
  ['greedily, several tokens at a look', GREEDY],
  ['sampled, one by one', { ...GREEDY, temperature: 0.5 }],
])('rows end each at its stop, %s', async (_, sampling) => {
  const texts = await run(new Script(['Fox.', 'A much longer answer: 🦊']), { sampling });
  expect(texts.map(({ text, ending }) => [text, ending])).toEqual([
    ['Fox.', 'end of turn'],
    ['A much longer answer: 🦊', 'end of turn'],
  ]);
});

test('more tokens a look as long as they come quickly', async () => {
  const script = new Script(['x'.repeat(99), 'x'.repeat(99)]);
  await run(script);
  expect(script.picks.slice(0, 5)).toEqual([1, 2, 4, 8, 16]);
});

test('cut at max_new_tokens, a character that is not whole shown as such', async () => {
  const sampling = { ...GREEDY, max_new_tokens: 3 };
  const texts = await run(new Script(['abcdef', 'a🦊']), { sampling });
  expect(texts.map(({ text, ending, ids }) => [text, ending, ids.length])).toEqual([
    ['abc', 'length', 3],
    ['a\ufffd', 'length', 3],
  ]);
});

test('a stop of several characters is held back and does not belong to the text', async () => {
  const stops = { ids: new Set([0]), texts: ['\nUser:'] };
  const texts = await run(new Script(['One\nUs two\nUser: three', 'Half a stop\nUse']), { stops });
  expect(texts.map(({ text }) => text)).toEqual(['One\nUs two', 'Half a stop\nUse']);
});

test('a full context ends a row, an abort all', async () => {
  const full = await run(new Script(['x'.repeat(50), 'y'], 10));
  expect(full.map(({ ending, ids }) => [ending, ids.length > 5 && ids.length < 50])).toEqual([
    ['context', true],
    ['end of turn', false],
  ]);
  const controller = new AbortController();
  controller.abort();
  const stopped = await run(new Script(['a', 'b']), {}, controller.signal);
  expect(stopped.map(({ text, ending }) => [text, ending])).toEqual([
    ['', 'stopped'],
    ['', 'stopped'],
  ]);
});
