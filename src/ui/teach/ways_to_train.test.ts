import { expect, it } from 'vitest';
import { waysToTrain } from './ways_to_train.ts';

it('compares three ways by the same run', () => {
  const memory = {
    weights: 700,
    adapter: 40,
    optimizer: 80,
    activations: 9999,
    logits: 9999,
    cache: 9999,
    staging: 9999,
  };
  const memories = Object.fromEntries(waysToTrain(1000, memory).map(({ name, bytes }) => [name, bytes]));
  expect(memories).toEqual({ 'All parameters': 16_000, LoRA: 2120, QLoRA: 820 });
});
