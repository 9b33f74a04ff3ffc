import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Example, MicroBatch } from './batch.ts';
import { batchesOf } from './batches.ts';
import { flatten } from './batching.ts';

/** Examples of tokens that no other example has. */
const examples = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 40 }).map((lengths) => {
  let next = 0;
  return lengths.map((length): Example => {
    const ids = Array.from({ length }, () => next++);
    return { ids, labels: ids.map((id) => (id % 3 === 0 ? -100 : id)) };
  });
});

it('trains every token of an epoch once, packed or not, in whatever order', async () => {
  await fc.assert(
    fc.asyncProperty(
      examples,
      fc.boolean(),
      fc.constantFrom('sequential' as const, 'random' as const, 'group_by_length' as const),
      fc.integer({ min: 1, max: 5 }),
      fc.nat({ max: 2 }),
      async (all, packing, train_sampling_strategy, size, epoch) => {
        const part = { lengths: Uint32Array.from(all, ({ ids }) => ids.length), load: async (i: number) => all[i] };
        const batches = batchesOf(part, {
          max_length: 32,
          packing,
          per_device_train_batch_size: size,
          gradient_accumulation_steps: 2,
          train_sampling_strategy,
          seed: 7,
        });
        const seen: MicroBatch[] = [];
        for await (const batch of batches.epoch(epoch)) seen.push(batch);
        const tokens = seen.flatMap((batch) => [...flatten(batch).ids]).sort((a, b) => a - b);
        expect(tokens).toEqual(all.flatMap(({ ids }) => ids));
        // A document's first token is predicted by nothing; all other labels are somebody's target.
        const trained = all.flatMap(({ labels }) => labels.slice(1)).filter((label) => label !== -100);
        const targets = seen.flatMap((batch) => [...flatten(batch).targets]).filter((target) => target !== -1);
        expect(targets.sort((a, b) => a - b)).toEqual(trained.sort((a, b) => a - b));
        const widest = Math.max(...seen.map((batch) => flatten(batch).ids.length));
        expect(widest).toBeLessThanOrEqual(batches.plan.mostTokens);
      },
    ),
  );
});
