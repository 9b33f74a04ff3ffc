/** Which linears have an adapter, its names, and how it starts. */
import type { LinearSpec, ModelSpec } from '../../formats/model_spec.ts';
import type { FlatState, FlatTensor, TensorValues } from '../train/flat_state.ts';

export interface LoraOptions {
  readonly rank: number;
  /** α/r, or α/√r with rsLoRA. */
  readonly scale: number;
  readonly targets: readonly LinearSpec[];
}

/** `model.layers.0.self_attn.q_proj` */
export const linearPath = (spec: ModelSpec, layer: number, linear: string) =>
  `${spec.tensors.layerPrefix}${layer}.${linear}`;

/** A [rank, in] and B [out, rank] of every target, layer by layer: the order of the flat state. */
export function loraTensors(spec: ModelSpec, { rank, targets }: LoraOptions): FlatTensor[] {
  return spec.layers.flatMap((_, layer) =>
    targets.flatMap(({ name, inFeatures, outFeatures }) => {
      const path = linearPath(spec, layer, name);
      return [
        { name: `${path}.lora_A`, shape: [rank, inFeatures] },
        { name: `${path}.lora_B`, shape: [outFeatures, rank] },
      ];
    }),
  );
}

/** mulberry32: a small generator with a 32-bit state; uniform in [0, 1). */
function uniformGenerator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** PEFT's start: A Kaiming-uniform with a = √5, that is U(−1/√in, 1/√in); B zero. */
export function initialLora(tensors: readonly FlatTensor[], seed: number): Map<string, TensorValues> {
  const random = uniformGenerator(seed);
  return new Map(
    tensors.map(({ name, shape }) => {
      const data = new Float32Array(shape[0] * shape[1]);
      if (name.endsWith('.lora_A')) {
        const bound = 1 / Math.sqrt(shape[1]);
        for (let i = 0; i < data.length; i++) data[i] = (2 * random() - 1) * bound;
      }
      return [name, { shape, data }];
    }),
  );
}

/** The adapter of one linear, as a plan binds it. */
export interface LoraPair {
  readonly a: ReturnType<FlatState['parameter']>;
  readonly b: ReturnType<FlatState['parameter']>;
  readonly gradA: ReturnType<FlatState['gradient']>;
  readonly gradB: ReturnType<FlatState['gradient']>;
}

export function loraPair(state: FlatState, path: string): LoraPair {
  return {
    a: state.parameter(`${path}.lora_A`),
    b: state.parameter(`${path}.lora_B`),
    gradA: state.gradient(`${path}.lora_A`),
    gradB: state.gradient(`${path}.lora_B`),
  };
}
