import { expect, it } from 'vitest';
import { batchesOf } from '../data/batches.ts';
import type { AdapterTensor } from '../formats/peft.ts';
import { parseRunConfig } from '../formats/run_config.ts';
import { Validation } from './validation.ts';

const { training } = parseRunConfig({ model: 'm', data: 'd' });
const part = { lengths: Uint32Array.of(3, 2), load: async (i: number) => ({ ids: [i, 5, 6], labels: [i, 5, 6] }) };
const batches = batchesOf(part, { ...training, train_sampling_strategy: 'sequential' });

/** A trainer whose validation losses are these, one an evaluation; its adapter tells how often it was evaluated. */
function validate(
  losses: readonly number[],
  config: { early_stopping_patience?: number; load_best_model_at_end: boolean },
) {
  let evaluations = 0;
  const trainer = {
    async evaluate(given: AsyncIterable<{ trainedTokens: number }>) {
      let tokens = 0;
      for await (const batch of given) tokens += batch.trainedTokens;
      return { lossSum: losses[evaluations++] * tokens, tokens };
    },
    async readAdapter() {
      return new Map<string, AdapterTensor>([['a', { shape: [1], data: Float32Array.of(evaluations) }]]);
    },
  };
  return new Validation(trainer, batches, 10, config);
}

async function play(losses: readonly number[], config: Parameters<typeof validate>[1]) {
  const validation = validate(losses, config);
  const seen: number[] = [];
  for (const _ of losses) {
    if (validation.enough.aborted) break;
    const { lossSum, tokens } = await validation.run();
    expect(tokens).toBe(4);
    seen.push(lossSum / tokens);
  }
  return { validation, evaluations: seen.length };
}

it('keeps the adapter of the lowest validation loss', async () => {
  const { validation } = await play([3, 2, 2.5, 2.1], { load_best_model_at_end: true });
  expect(validation.kept?.adapter).toEqual({ step: 20, loss: 2 });
  expect(validation.kept?.tensors.get('a')?.data).toEqual(Float32Array.of(2));
});

it('has had enough when the loss does not fall for as long as its patience', async () => {
  const losses = [3, 2, 2.5, 1.9, 2, 1.9, 1];
  expect((await play(losses, { early_stopping_patience: 2, load_best_model_at_end: false })).evaluations).toBe(6);
  expect((await play(losses, { early_stopping_patience: 1, load_best_model_at_end: false })).evaluations).toBe(3);
  const all = await play(losses, { load_best_model_at_end: false });
  expect([all.evaluations, all.validation.kept]).toEqual([7, null]);
});

it('takes a loss that is no number for no improvement', async () => {
  const { validation, evaluations } = await play([2, Number.NaN, Number.NaN], {
    early_stopping_patience: 2,
    load_best_model_at_end: true,
  });
  expect([validation.enough.aborted, evaluations]).toEqual([true, 3]);
  expect(validation.kept?.adapter.step).toBe(10);
});
