/** Models by name for the bench: shapes as published, weights made up. */
import { bf16Block, xorshift } from '../engine/bench/buffers.ts';
import type { WeightInfo, WeightSource } from '../engine/weight_source.ts';
import { expectedTensors } from '../formats/check_checkpoint.ts';
import { parseModelConfig } from '../formats/model_config.ts';
import { layerLinears, type ModelSpec } from '../formats/model_spec.ts';
import { BENCH_CONFIGS } from './bench_configs.ts';

export const BENCH_MODELS: readonly string[] = Object.keys(BENCH_CONFIGS);

/** @throws RangeError for a name that is not known */
export function benchModel(name: string): ModelSpec {
  const found = Object.entries(BENCH_CONFIGS).find(([known]) => known === name);
  if (!found) throw new RangeError(`--model is ${BENCH_MODELS.join(', ')}; not ${name}`);
  return parseModelConfig(found[1]);
}

/** Parameters that every token is multiplied with: the layers' linears and the output head. */
export function multipliedParameters(spec: ModelSpec): number {
  const layer = layerLinears(spec).reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures * outFeatures, 0);
  return layer * spec.layers.length + spec.vocabSize * spec.hiddenSize;
}

/** Bytes that are made; pieces of tensors are cut from them. Longer than the pieces the engine reads. */
const BLOCK_BYTES = 12 * 2 ** 20;

/** bf16 weights from a seed, without a file: all are cut from one random block, norms are ones. */
export function syntheticWeights(spec: ModelSpec, seed: number): WeightSource & { readonly totalBytes: number } {
  const tensors = new Map<string, WeightInfo & { readonly start: number }>();
  const next = xorshift(seed);
  const block = new Uint8Array(bf16Block(BLOCK_BYTES / 2, next).buffer);
  for (const { name, shape } of expectedTensors(spec)) {
    const elements = shape.reduce((a, b) => a * b, 1);
    tensors.set(name, { dtype: 'BF16', shape, byteLength: 2 * elements, start: next() });
  }
  return {
    totalBytes: [...tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0),
    info: (name) => tensors.get(name),
    async read(name, begin, end) {
      const length = end - begin;
      const tensor = tensors.get(name);
      if (tensor?.shape.length === 1) return new Uint8Array(new Uint16Array(length / 2).fill(0x3f80).buffer);
      // A view, not a copy: reading must cost nothing, or it would be measured too.
      const room = block.byteLength - length;
      if (room < 0) throw new RangeError(`${name}: ${length} bytes at once are more than BLOCK_BYTES`);
      const at = room > 0 ? (((tensor?.start ?? 0) + begin) % room) & ~3 : 0;
      return block.subarray(at, at + length);
    },
  };
}
