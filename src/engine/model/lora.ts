/** Which linears have an adapter, its names, and how it starts. */
import type { LinearSpec, ModelSpec } from '../../formats/model_spec.ts';
import type { GroupAdapter } from '../kernels/matmul_nf4.ts';
import type { FlatRun, FlatState, FlatTensor, TensorValues } from '../train/flat_state.ts';

export interface LoraOptions {
  readonly rank: number;
  /** α/r, or α/√r with rsLoRA. */
  readonly scale: number;
  readonly targets: readonly LinearSpec[];
}

/** `model.layers.0.self_attn.q_proj` */
export const linearPath = (spec: ModelSpec, layer: number, linear: string) =>
  `${spec.tensors.layerPrefix}${layer}.${linear}`;

/** A layer's linears by the input they share, in the order they run. */
export function linearGroups(spec: ModelSpec): readonly (readonly LinearSpec[])[] {
  const { qkv, output, gateUp, down } = spec.linears;
  return [qkv, [output], gateUp, [down]];
}

/**
 * The flat state's runs, layer by layer: of each group of linears with adapters all A [rank, in], so that they are one
 * matrix, then all B [out, rank].
 */
export function loraRuns(spec: ModelSpec, { rank, targets }: LoraOptions): FlatRun[] {
  return spec.layers.flatMap((_, layer) =>
    linearGroups(spec)
      .map((group) => group.filter((linear) => targets.includes(linear)))
      .filter((group) => group.length > 0)
      .map((group) => [
        ...group.map(({ name, inFeatures }) => ({
          name: `${linearPath(spec, layer, name)}.lora_A`,
          shape: [rank, inFeatures],
        })),
        ...group.map(({ name, outFeatures }) => ({
          name: `${linearPath(spec, layer, name)}.lora_B`,
          shape: [outFeatures, rank],
        })),
      ]),
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

/** The adapter of linears that share an input, as kernels bind it; null where none of them has one. */
export function groupAdapter(
  spec: ModelSpec,
  state: FlatState,
  { rank, scale, targets }: LoraOptions,
  layer: number,
  linears: readonly LinearSpec[],
): GroupAdapter | null {
  const adapted = linears.filter((linear) => targets.includes(linear));
  if (adapted.length === 0) return null;
  const path = (linear: LinearSpec) => linearPath(spec, layer, linear.name);
  const run = state.run(`${path(adapted[0])}.lora_A`);
  return {
    parameters: run.parameters,
    gradients: run.gradients,
    columns: adapted.length * rank,
    aAt: run.at(`${path(adapted[0])}.lora_A`),
    parts: linears.map((linear) => {
      const i = adapted.indexOf(linear);
      return i < 0 ? null : { uAt: i * rank, rank, bAt: run.at(`${path(linear)}.lora_B`) };
    }),
    scale,
  };
}
