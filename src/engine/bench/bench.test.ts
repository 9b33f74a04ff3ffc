import { expect, test } from 'vitest';
import { allBenches } from './all_benches.ts';
import { bf16Block, xorshift } from './buffers.ts';
import { groupOf } from './kernel_groups.ts';
import { scaled, spread, summarize } from './statistics.ts';
import { repeatsFor } from './time_kernel.ts';

test('the median of an odd and of an even number of samples, and the extremes', () => {
  expect(summarize([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3, samples: 3 });
  expect(summarize([4, 1, 2, 3])).toEqual({ median: 2.5, min: 1, max: 4, samples: 4 });
  expect(() => summarize([])).toThrow(RangeError);
  expect(scaled(summarize([1, 2, 3]), 10)).toEqual({ median: 20, min: 10, max: 30, samples: 3 });
  expect(spread(summarize([1, 2, 3]))).toBe(1);
});

test('repeats fill a sample, and stay within bounds', () => {
  expect(repeatsFor(20, 1, 1)).toBe(20);
  expect(repeatsFor(20, 5, 100)).toBe(400);
  expect(repeatsFor(20, 100, 1)).toBe(1);
  expect(repeatsFor(20, 0, 1)).toBe(1000);
});

test('every bench has a name of its own, and both sizes have every op', () => {
  const names = allBenches.map(({ name, size }) => `${size} ${name}`);
  expect(new Set(names).size).toBe(names.length);
  const ops = (size: string) => [
    ...new Set(allBenches.filter((bench) => bench.size === size).map(({ name }) => name.replace(/ [\d,×/ ]+$/, ''))),
  ];
  const small = ops('small');
  for (const op of ops('full')) if (!/LoRA/.test(op)) expect(small).toContain(op);
  for (const { flops, bytes, tokens } of allBenches) {
    expect(flops).toBeGreaterThanOrEqual(0);
    expect(bytes).toBeGreaterThan(0);
    expect(tokens).toBeGreaterThan(0);
  }
});

test('random bf16 weights are finite and small', () => {
  const values = bf16Block(999, xorshift(1));
  expect(values.length).toBe(1000);
  const floats = new Float32Array(Uint32Array.from(values, (half) => half << 16).buffer);
  expect(Math.max(...floats.map(Math.abs))).toBeLessThanOrEqual(0.03);
  expect(new Set(values).size).toBeGreaterThan(500);
});

test.each([
  ['matmul_nf4', 'frozen matmul forward'],
  ['matmul_nf4_dx', 'frozen matmul dX'],
  ['low_rank', 'LoRA path'],
  ['low_rank_dx', 'LoRA path'],
  ['low_rank_gradient', 'LoRA path'],
  ['matmul_dense', 'head + cross-entropy'],
  ['matmul_dense_dx', 'head + cross-entropy'],
  ['matmul_reduce', 'sums of split matmuls'],
  ['cross_entropy', 'head + cross-entropy'],
  ['loss_sum', 'head + cross-entropy'],
  ['attention_backward_key_value', 'attention'],
  ['rms_norm_backward', 'norms, activation, RoPE, embedding'],
  ['swiglu', 'norms, activation, RoPE, embedding'],
  ['embedding', 'norms, activation, RoPE, embedding'],
  ['grad_norm_partials', 'optimizer'],
  ['adamw', 'optimizer'],
  ['something_new', 'other'],
])('%s belongs to %s', (name, group) => {
  expect(groupOf({ name })).toBe(group);
});
