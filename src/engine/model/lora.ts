/** Which linears have an adapter, how its tensors lie in the flat state, and how it starts. */
import type { AdaptedLinear } from '../../formats/lora.ts';
import type { LinearSpec, ModelSpec } from '../../formats/model_spec.ts';
import type { GroupAdapter } from '../kernels/matmul_nf4.ts';
import type { FlatRun, FlatState, FlatTensor, TensorValues } from '../train/flat_state.ts';

export interface LoraOptions {
  /** By path; see `adaptedLinears`. */
  readonly adapters: ReadonlyMap<string, AdaptedLinear>;
  /** Weight-decomposed (Liu et al. 2024): each adapted linear has a magnitude an output too. */
  readonly dora: boolean;
  /** Share of an adapter's inputs that training drops, each linear on its own. */
  readonly dropout: number;
}

/** `model.layers.0.self_attn.q_proj` */
export const linearPath = (spec: ModelSpec, layer: number, linear: string) =>
  `${spec.tensors.layerPrefix}${layer}.${linear}`;

/** A layer's linears by the input they share, in the order they run. */
export function linearGroups(spec: ModelSpec): readonly (readonly LinearSpec[])[] {
  const { qkv, output, gateUp, down } = spec.linears;
  return [qkv, [output], gateUp, [down]];
}

/** The adapters of a layer's linears, null where one has none. */
export function groupAdapters(
  spec: ModelSpec,
  { adapters }: LoraOptions,
  layer: number,
  linears: readonly LinearSpec[],
): (AdaptedLinear | null)[] {
  return linears.map(({ name }) => adapters.get(linearPath(spec, layer, name)) ?? null);
}

/**
 * The flat state's runs, layer by layer: of each group of linears with adapters all A [rank, in], so that they are one
 * matrix, then all B [out, rank], then with DoRA all magnitudes [out].
 */
export function loraRuns(spec: ModelSpec, lora: LoraOptions): FlatRun[] {
  return spec.layers.flatMap((_, layer) =>
    linearGroups(spec)
      .map((group) => groupAdapters(spec, lora, layer, group).filter((adapter) => adapter !== null))
      .filter((adapted) => adapted.length > 0)
      .map((adapted) => [
        ...adapted.map(({ path, linear, rank }) => ({ name: `${path}.lora_A`, shape: [rank, linear.inFeatures] })),
        ...adapted.map(({ path, linear, rank }) => ({ name: `${path}.lora_B`, shape: [linear.outFeatures, rank] })),
        ...(lora.dora
          ? adapted.map(({ path, linear }) => ({ name: `${path}.lora_magnitude_vector`, shape: [linear.outFeatures] }))
          : []),
      ]),
  );
}

export const isLoraA = (name: string) => name.endsWith('.lora_A');

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

/** Box and Muller's transformation: standard normal. */
const normalFrom = (uniform: () => number) =>
  Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

/** PEFT's `init_lora_weights`: true or 'gaussian'. */
export type LoraInit = true | 'gaussian';

/**
 * PEFT's start: B zero; A Kaiming-uniform with a = √5, that is U(−1/√in, 1/√in), or with 'gaussian' normal with the
 * standard deviation 1/r.
 */
export function initialLora(tensors: readonly FlatTensor[], seed: number, init: LoraInit): Map<string, TensorValues> {
  const random = uniformGenerator(seed);
  return new Map(
    tensors.map(({ name, shape }) => {
      const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
      if (isLoraA(name)) {
        const [rank, inFeatures] = shape;
        const bound = 1 / Math.sqrt(inFeatures);
        for (let i = 0; i < data.length; i++) {
          data[i] = init === 'gaussian' ? normalFrom(random) / rank : (2 * random() - 1) * bound;
        }
      }
      return [name, { shape, data }];
    }),
  );
}

/**
 * The adapter of linears that share an input, as kernels bind it; null where none of them has one.
 *
 * @param normsAt where a linear's DoRA norms begin, by its path; null without DoRA
 */
export function groupAdapter(
  spec: ModelSpec,
  state: FlatState,
  lora: LoraOptions,
  layer: number,
  linears: readonly LinearSpec[],
  normsAt: ReadonlyMap<string, number> | null,
): GroupAdapter | null {
  const adapters = groupAdapters(spec, lora, layer, linears);
  const first = adapters.find((adapter) => adapter !== null);
  if (!first) return null;
  const run = state.run(`${first.path}.lora_A`);
  let columns = 0;
  const parts = adapters.map((adapter) => {
    if (!adapter) return null;
    const { path, rank, scale } = adapter;
    columns += rank;
    const dora = normsAt
      ? { magnitudeAt: run.at(`${path}.lora_magnitude_vector`), normAt: normsAt.get(path)! }
      : undefined;
    return { uAt: columns - rank, rank, scale, bAt: run.at(`${path}.lora_B`), dora };
  });
  return {
    parameters: run.parameters,
    gradients: run.gradients,
    columns,
    aAt: run.at(`${first.path}.lora_A`),
    parts,
  };
}
