import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseRunConfig } from '../formats/run_config.ts';
import type { MicroBatch } from './batch.ts';
import { type Batches, batchesOf } from './batches.ts';
import { collate, flatten, flattenPadded } from './batching.ts';
import { renderHere } from './chat_renderer.ts';
import { diskFolder, GOLDEN_CASES, goldenCase, memoryFile, readRows } from './fixtures/testing.ts';
import { prepareDataset } from './prepare.ts';
import { Tokenizer } from './tokenizer.ts';

interface Expected {
  readonly steps: readonly { readonly num_tokens: number }[];
  readonly first_micro_batch: object;
  readonly probe: object;
  readonly examples: number;
  readonly micro_batches_per_epoch: number;
}

/** The case's probe: the micro-batch with a row of most documents when packed, the earliest such; else the first. */
function probeOf(epoch: readonly MicroBatch[]) {
  const documents = (batch: MicroBatch) => Math.max(...batch.map((row) => row.length));
  return epoch.reduce((most, batch) => (documents(batch) > documents(most) ? batch : most));
}

async function epochOf(batches: Batches): Promise<MicroBatch[]> {
  const epoch: MicroBatch[] = [];
  for await (const batch of batches.epoch(0)) epoch.push(batch);
  return epoch;
}

describe('golden cases', () => {
  it('are there, packed and chat among them', () => {
    expect(GOLDEN_CASES).toEqual(expect.arrayContaining(['llama-text', 'qwen2-plain-delims', 'qwen2-template']));
  });

  it.each(GOLDEN_CASES)('%s: the batches are PyTorch’s', async (name) => {
    const folder = goldenCase(name)!;
    const { training } = parseRunConfig(JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')));
    const expected: Expected = JSON.parse(readFileSync(join(folder, 'expected/expected.json'), 'utf8'));
    const tokenizer = await Tokenizer.load(diskFolder(join(folder, 'model')));
    const source = memoryFile(readFileSync(join(folder, 'data.jsonl')));
    const { rows } = await readRows([source]);
    const dataset = await prepareDataset({ rows, tokenizer, config: training, openChat: renderHere, strict: true });
    const { summary } = dataset;
    expect(summary.examples).toBe(expected.examples);
    expect(summary.rows).toBe(summary.examples + summary.dropped.length);
    // Its turns end in plain text, which the tokenizer joins with what stands beside it.
    const straddling = name === 'qwen2-plain-delims' ? [expect.objectContaining({ rows: 35, firstLine: 2 })] : [];
    expect(summary.notes).toEqual(straddling);

    const batches = batchesOf(dataset, training);
    const epoch = await epochOf(batches);
    expect(batches.plan.microBatchesPerEpoch).toBe(expected.micro_batches_per_epoch);
    const first = epoch[0];
    const probe = collate(probeOf(epoch), tokenizer.padTokenId);
    expect(collate(first, tokenizer.padTokenId)).toEqual(expected.first_micro_batch);
    expect(expected.probe).toMatchObject({ ...probe });

    const trained = probe.labels.flatMap((row) => row.slice(1)).filter((label) => label !== -100).length;
    expect(flattenPadded(probe).trainedTokens).toBe(trained);
    for (const [step, { num_tokens }] of expected.steps.entries()) {
      const tokens = (await batches.window(step)).map((batch) => flatten(batch).trainedTokens);
      expect(tokens.reduce((sum, count) => sum + count, 0)).toBe(num_tokens);
    }
  });
});
