import { expect, it } from 'vitest';
import { deltaNorms } from './adapter_norms.ts';

const values = (shape: number[]) => ({
  shape,
  data: Float32Array.from({ length: shape[0] * shape[1] }, () => Math.random() - 0.5),
});

it('is the norm of the product of B and A, layer by layer', () => {
  const [r, inputs, outputs] = [3, 5, 7];
  const tensors = new Map<string, { shape: number[]; data: Float32Array }>(
    ['model.layers.0.self_attn.q_proj', 'model.layers.0.mlp.up_proj', 'model.layers.2.mlp.up_proj'].flatMap((name) => [
      [`${name}.lora_A`, values([r, inputs])] as const,
      [`${name}.lora_B`, values([outputs, r])] as const,
    ]),
  );
  const expected = [0, 0, 0];
  for (const [name, { data: a }] of tensors) {
    if (!name.endsWith('A')) continue;
    const b = tensors.get(name.replace(/A$/, 'B'))!.data;
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        let element = 0;
        for (let k = 0; k < r; k++) element += b[o * r + k] * a[k * inputs + i];
        expected[Number(name.split('.')[2])] += (4 * element) ** 2;
      }
    }
  }
  const paths = new Set([...tensors.keys()].map((name) => name.replace(/\.lora_.$/, '')));
  const norms = deltaNorms(
    tensors,
    [...paths].map((path) => ({ path, scale: 4 })),
    3,
  );
  for (const [layer, norm] of norms.entries()) expect(norm).toBeCloseTo(Math.sqrt(expected[layer]), 5);
  expect(norms[1]).toBe(0);
});
