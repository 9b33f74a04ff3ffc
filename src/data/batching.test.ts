import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Example, MicroBatch, NumberedBatch } from './batch.ts';
import { type BatchingConfig, collate, flatten, flattenPadded, planBatches } from './batching.ts';

const example = (ids: number[], masked = 0): Example => ({
  ids,
  labels: ids.map((id, index) => (index < masked ? -100 : id)),
});
/** That many examples of two tokens. */
const numbered = (count: number) => new Uint32Array(count).fill(2);
const config = (change: Partial<BatchingConfig> = {}): BatchingConfig => ({
  max_length: 16,
  packing: false,
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  train_sampling_strategy: 'sequential',
  seed: 42,
  ...change,
});
/** The first example of every row. */
const seen = (batches: Iterable<NumberedBatch>) => [...batches].map((batch) => batch.map((row) => row[0]));

describe('planBatches', () => {
  it('lays rows out in order, with shorter ends, and begins each epoch anew', () => {
    const plan = planBatches(numbered(5), config());
    expect([plan.rows, plan.microBatchesPerEpoch, plan.windowsPerEpoch]).toEqual([5, 3, 2]);
    expect([0, 1, 2, 3].map((step) => seen(plan.window(step)))).toEqual([
      [
        [0, 1],
        [2, 3],
      ],
      [[4]],
      [
        [0, 1],
        [2, 3],
      ],
      [[4]],
    ]);
  });

  it('takes fewer rows than a batch', () => {
    expect(seen(planBatches(numbered(1), config({ per_device_train_batch_size: 8 })).window(3))).toEqual([[0]]);
    expect(() => planBatches(new Uint32Array(), config())).toThrow(RangeError);
  });

  it('packs when asked to', () => {
    const plan = planBatches(numbered(9), config({ packing: true, max_length: 8 }));
    expect(plan.rows).toBe(3);
    expect([...plan.epoch(0)][0].map((row) => row.length)).toEqual([4, 4]);
    expect(plan.mostTokens).toBe(16);
  });

  it('shuffles reproducibly: another order each epoch and seed, the same for the same step', () => {
    const random = (seed: number) => planBatches(numbered(50), config({ train_sampling_strategy: 'random', seed }));
    const one = random(1);
    expect(seen(one.epoch(0))).not.toEqual(seen(one.epoch(1)));
    expect(seen(one.epoch(0))).not.toEqual(seen(random(2).epoch(0)));
    const late = seen(one.window(40));
    expect(seen(one.window(3))).toEqual(seen(random(1).window(3)));
    expect(seen(random(1).window(40))).toEqual(late);
  });

  it('brings rows of about the same length together, the longest of all first', () => {
    const lengths = Uint32Array.from({ length: 400 }, (_, index) => ((index * 37) % 100) + 1);
    const plan = planBatches(lengths, config({ train_sampling_strategy: 'group_by_length' }));
    const spread = (batches: Iterable<NumberedBatch>) => {
      const differences = [...batches].map((batch) => Math.abs(lengths[batch[0][0]] - lengths[batch.at(-1)![0]]));
      return differences.reduce((sum, one) => sum + one, 0) / differences.length;
    };
    expect(spread(plan.epoch(0))).toBeLessThan(3);
    expect(spread(planBatches(lengths, config({ train_sampling_strategy: 'random' })).epoch(0))).toBeGreaterThan(20);
    expect(lengths[seen(plan.epoch(0))[0][0]]).toBe(100);
    expect(seen(plan.epoch(0))).not.toEqual(seen(plan.epoch(1)));
  });

  it('covers each row once an epoch', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom('sequential' as const, 'random' as const, 'group_by_length' as const),
        fc.nat({ max: 3 }),
        (count, batch, accumulation, train_sampling_strategy, epoch) => {
          const plan = planBatches(
            numbered(count),
            config({
              per_device_train_batch_size: batch,
              gradient_accumulation_steps: accumulation,
              train_sampling_strategy,
            }),
          );
          const windows = Array.from({ length: plan.windowsPerEpoch }, (_, step) =>
            plan.window(epoch * plan.windowsPerEpoch + step),
          );
          const rows = seen(windows.flat()).flat();
          expect([...rows].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index));
          expect(windows.every((window) => window.length > 0 && window.length <= accumulation)).toBe(true);
        },
      ),
    );
  });
});

const BATCH: MicroBatch = [[example([5, 6, 7], 1), example([8, 9])], [example([1, 2, 3], 2)]];

describe('collate', () => {
  it('pads to the longest row, restarts positions and masks each document’s first label', () => {
    expect(collate(BATCH, 0)).toEqual({
      input_ids: [
        [5, 6, 7, 8, 9],
        [1, 2, 3, 0, 0],
      ],
      labels: [
        [-100, 6, 7, -100, 9],
        [-100, -100, 3, -100, -100],
      ],
      position_ids: [
        [0, 1, 2, 0, 1],
        [0, 1, 2, 0, 0],
      ],
      segments: [
        [1, 1, 1, 2, 2],
        [1, 1, 1, 0, 0],
      ],
    });
  });
});

describe('flatten', () => {
  it('keeps real tokens only, and shifts labels within documents', () => {
    expect(flatten(BATCH)).toEqual({
      ids: Uint32Array.of(5, 6, 7, 8, 9, 1, 2, 3),
      targets: Int32Array.of(6, 7, -1, 9, -1, -1, 3, -1),
      positions: Uint32Array.of(0, 1, 2, 0, 1, 0, 1, 2),
      documents: Uint32Array.of(0, 3, 0, 3, 0, 3, 3, 5, 3, 5, 5, 8, 5, 8, 5, 8),
      trainedTokens: 4,
    });
  });

  it('keeps padding as documents of its own when it comes from a padded batch', () => {
    expect(flattenPadded(collate(BATCH, 0))).toEqual({
      ids: Uint32Array.of(5, 6, 7, 8, 9, 1, 2, 3, 0, 0),
      targets: Int32Array.of(6, 7, -1, 9, -1, -1, 3, -1, -1, -1),
      positions: Uint32Array.of(0, 1, 2, 0, 1, 0, 1, 2, 0, 0),
      documents: Uint32Array.of(0, 3, 0, 3, 0, 3, 3, 5, 3, 5, 5, 8, 5, 8, 5, 8, 8, 10, 8, 10),
      trainedTokens: 4,
    });
  });

  it('trains the same targets either way', () => {
    const documents = fc
      .array(fc.tuple(fc.nat({ max: 99 }), fc.boolean()), { minLength: 1, maxLength: 6 })
      .map((tokens) => ({ ids: tokens.map(([id]) => id), labels: tokens.map(([id, on]) => (on ? id : -100)) }));
    const rows = fc.array(fc.array(documents, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(rows, (batch) => {
        const flat = flatten(batch);
        const padded = flattenPadded(collate(batch, 0));
        const trained = (targets: Int32Array) => [...targets].filter((target) => target !== -1);
        expect(trained(flat.targets)).toEqual(trained(padded.targets));
        expect(flat.trainedTokens).toBe(trained(flat.targets).length);
        expect(flat.trainedTokens).toBe(padded.trainedTokens);
        expect(flat.ids.length).toBe(batch.flat().reduce((sum, one) => sum + one.ids.length, 0));
      }),
    );
  });
});
