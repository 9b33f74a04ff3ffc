/**
 * Equality with what TRL 1.13 prepares (fixtures/trl_preparation.json, made by scripts/reference/trl_preparation.py): token
 * ids, labels and packed sequences of 500 rows of each shape and of the golden cases' data.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseRunConfig } from '../formats/run_config.ts';
import type { Example } from './batch.ts';
import { renderHere } from './chat_renderer.ts';
import { diskFolder, goldenCase, jsonl, loadAll, memoryFile, readRows } from './fixtures/testing.ts';
import type { MaskConfig } from './masks.ts';
import { packBestFitDecreasing } from './packing.ts';
import { prepareDataset } from './prepare.ts';
import type { Message } from './rows.ts';
import { Tokenizer } from './tokenizer.ts';

interface Reference {
  readonly shapes: readonly {
    readonly shape: string;
    readonly case: string;
    readonly training: { readonly max_length: number; readonly assistant_only_loss?: boolean };
    /** A hash of ids and labels for each row, `-` for one that is dropped. */
    readonly rows: string;
    /** A hash of ids, labels and lengths for each packed sequence. */
    readonly packed: string;
  }[];
  readonly golden: Readonly<Record<string, string>>;
}

const reference: Reference = JSON.parse(
  readFileSync(new URL('./fixtures/trl_preparation.json', import.meta.url), 'utf8'),
);
const pairs: [string, string][] = readFileSync('public/examples/shakespeare-dialogue.jsonl', 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line).messages.map(({ content }: Message) => content));

/** As `rows_of` in the script, in the fields that a file of this shape has. */
function rowsOf(shape: string): unknown[] {
  return pairs.map(([ask, answer], i) => {
    const after = pairs[(i + 1) % pairs.length];
    const turns = [
      ...(i % 5 === 0 ? [['system', after[0]]] : []),
      ['user', ask],
      ['assistant', answer],
      ...(i % 3 === 0
        ? [
            ['user', after[0]],
            ['assistant', after[1]],
          ]
        : []),
    ];
    const names: Record<string, string> = { user: 'human', assistant: 'gpt', system: 'system' };
    switch (shape) {
      case 'text':
        return { text: `${ask}\n${answer}` };
      case 'prompt messages': {
        const said = ([role, content]: readonly string[]) => ({ role, content });
        const system = i % 5 === 0 ? [['system', after[0]]] : [];
        const more = [
          ['user', after[0]],
          ['assistant', after[1]],
        ];
        return {
          prompt: [...system, ...(i % 3 === 0 ? more : []), ['user', ask]].map(said),
          completion: [['assistant', answer], ...(i % 3 === 0 && i % 2 ? more : [])].map(said),
        };
      }
      case 'prompt':
        return { prompt: ask, completion: `\n${answer}` };
      case 'alpaca':
        return { instruction: ask, input: i % 2 ? after[0] : '', output: answer };
      case 'question':
        return { question: ask, answer };
      case 'sharegpt':
        return { conversations: turns.map(([role, value]) => ({ from: names[role], value })) };
      default:
        return { messages: turns.map(([role, content]) => ({ role, content })) };
    }
  });
}

const digest = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 8);

async function prepare(name: string, content: string | Uint8Array, config: MaskConfig) {
  const tokenizer = await Tokenizer.load(diskFolder(join(goldenCase(name)!, 'model')));
  const { rows, problems } = await readRows([memoryFile(content)]);
  const dataset = await prepareDataset({ rows, problems, tokenizer, config, openChat: renderHere, strict: true });
  const examples = await loadAll(dataset);
  const left = new Set(dataset.summary.dropped.map(({ line }) => line));
  const kept = examples.values();
  // By row of the file, as the reference has them.
  const digests = Array.from({ length: rows.length }, (_, row) => {
    if (left.has(rows.place(row).line)) return '-';
    const { ids, labels } = kept.next().value as Example;
    return digest([ids, labels]);
  });
  return { digests: digests.join(' '), examples, lengths: dataset.lengths };
}

describe('TRL prepares the same', () => {
  it.each(reference.shapes)(
    '$shape, with the tokenizer of $case',
    async ({ shape, case: name, training, ...expected }) => {
      const config = { assistant_only_loss: false, ...training };
      const { digests, examples, lengths } = await prepare(name, jsonl(rowsOf(shape)), config);
      expect(digests).toBe(expected.rows);
      const packed = packBestFitDecreasing(lengths, config.max_length).map((row) => {
        const documents = row.map((example) => examples[example]);
        const ids = documents.flatMap((one) => one.ids);
        return digest([ids, documents.flatMap((one) => one.labels), documents.map((one) => one.ids.length)]);
      });
      expect(packed.join(' ')).toBe(expected.packed);
    },
  );

  it('and a token less would show', async () => {
    const { shape, case: name, training, rows } = reference.shapes[0];
    const config = { assistant_only_loss: false, max_length: training.max_length - 1 };
    expect((await prepare(name, jsonl(rowsOf(shape)), config)).digests).not.toBe(rows);
  });

  it.each(Object.keys(reference.golden))('the data of %s', async (name) => {
    const folder = goldenCase(name)!;
    const { training } = parseRunConfig(JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')));
    const { digests } = await prepare(name, readFileSync(join(folder, 'data.jsonl')), training);
    expect(digests).toBe(reference.golden[name]);
  });
});
