/** What a decoder's plans are recorded from, and the sizes of its activations. */
import { type LinearSpec, layerLinears, type ModelSpec } from '../../formats/model_spec.ts';
import type { AttentionShape } from '../kernels/attention.ts';
import type { DropoutMask } from '../kernels/dropout.ts';
import type { HeadNormOptions } from '../kernels/head_norm.ts';
import type { GroupAdapter, LinearGroup } from '../kernels/matmul_nf4.ts';
import type { Precision } from '../kernels/matmul_tile.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import type { BufferTensor, Tensor } from '../plan/tensor.ts';
import type { FlatState } from '../train/flat_state.ts';
import { groupAdapter, groupAdapters, type LoraOptions, linearGroups } from './lora.ts';
import type { LengthRope } from './rope_tables.ts';
import type { ModelWeights } from './weights.ts';

/** A micro-batch's buffers, written before each run of a plan. */
export interface BatchInputs {
  readonly ids: BufferTensor;
  readonly targets: BufferTensor;
  readonly positions: BufferTensor;
  readonly documents: BufferTensor;
}

/** A linear's mask; its number is its place among all linears of the model. */
export function dropoutMask(d: Decoder, layer: number, linear: LinearSpec): DropoutMask {
  const linears = layerLinears(d.spec);
  const module = layer * linears.length + linears.indexOf(linear);
  return { probability: d.lora.dropout, module, width: linear.inFeatures };
}

/** DoRA's norms of all adapted linears. */
export interface DoraNorms {
  /** f32, one an output. */
  readonly tensor: BufferTensor;
  /** Where a linear's begin, by its path. */
  readonly at: ReadonlyMap<string, number>;
}

/** An adapter on the GPU. */
export interface BoundAdapter {
  readonly state: FlatState;
  readonly lora: LoraOptions;
  /** Null without DoRA. */
  readonly doraNorms: DoraNorms | null;
}

/** A model and its adapter. */
export interface AdaptedModel extends BoundAdapter {
  readonly spec: ModelSpec;
  readonly weights: ModelWeights;
}

/** What the rows that linears and attention read and write are in memory; they are computed with as before. */
export type Stored = 'f32' | 'f16';

/** Whether all that could be stored in 16 bits comes in whole groups of four, and what RoPE turns in pairs of two. */
export function fitsHalves(spec: ModelSpec): boolean {
  const { hiddenSize, attention, ropes } = spec;
  const widths = layerLinears(spec).flatMap(({ inFeatures, outFeatures }) => [inFeatures, outFeatures]);
  return (
    [hiddenSize, attention.headDim, ...widths].every((width) => width % 4 === 0) &&
    ropes.every(({ inverseFrequencies }) => inverseFrequencies.length % 2 === 0)
  );
}

export interface Decoder extends AdaptedModel {
  readonly precision: Precision;
  /** f32 unless given; f16 only where {@link fitsHalves}. */
  readonly stored?: Stored;
  readonly ropes: readonly LengthRope[];
  readonly inputs: BatchInputs;
  /** f32 [T], how much of the adapter each token gets: 0 is the base model. All of it unless given. */
  readonly strength?: Tensor;
}

/** What a layer's backward pass needs of its forward pass. */
export interface LayerActivations {
  /** The residual stream that enters the layer. */
  readonly input: Tensor;
  /** After RoPE. */
  readonly qkv: Tensor;
  /** Queries and keys before their norms, where the model has such. */
  readonly rawHeads: Tensor | null;
  readonly attention: Tensor;
  readonly lse: Tensor;
  /** Attention's projection before the norm after it, where the model has one. */
  readonly projected: Tensor | null;
  /** The residual stream between attention and MLP. */
  readonly middle: Tensor;
  readonly gateUp: Tensor;
  /** The MLP's result before the norm after it, where the model has one. */
  readonly mlp: Tensor | null;
  /** u = s · x·Aᵀ of each group with an adapter, by its first linear. */
  readonly lowRank: ReadonlyMap<LinearSpec, Tensor>;
  /** With DoRA the outputs of each group with an adapter before its magnitudes and biases, by its first linear. */
  readonly unscaled: ReadonlyMap<LinearSpec, Tensor>;
}

export function attentionShape(spec: ModelSpec, layer: number): AttentionShape {
  return { ...spec.attention, window: spec.layers[layer].window };
}

export const qkvWidth = ({ attention: { heads, kvHeads, headDim } }: ModelSpec) => (heads + 2 * kvHeads) * headDim;
/** Queries and keys of a row of qkv, side by side. */
const headsWidth = ({ attention: { heads, kvHeads, headDim } }: ModelSpec) => (heads + kvHeads) * headDim;
export const attentionWidth = ({ attention: { heads, headDim } }: ModelSpec) => heads * headDim;

/** The norms of a layer's query and key heads, or null. */
export function headNorms(
  d: Decoder,
  layer: number,
): Pick<HeadNormOptions, 'heads' | 'kvHeads' | 'query' | 'key'> | null {
  const { names } = d.spec.norm;
  if (names.query === null || names.key === null) return null;
  const { heads, kvHeads } = d.spec.attention;
  return { heads, kvHeads, query: d.weights.norm(layer, names.query), key: d.weights.norm(layer, names.key) };
}

/** Linears of a layer that share an input, with their adapter. */
export interface Group {
  readonly name: string;
  readonly weights: LinearGroup;
  readonly adapter: GroupAdapter | null;
}

export function groupOf(d: AdaptedModel, layer: number, linears: readonly LinearSpec[]): Group {
  return {
    name: linears.map(({ name }) => name).join(', '),
    weights: d.weights.group(layer, linears),
    adapter: groupAdapter(d.spec, d.state, d.lora, layer, linears, d.doraNorms?.at ?? null),
  };
}

/** One linear of a group by itself, and where its outputs begin among the group's. */
export function linearOf(group: LinearGroup, i: number): { readonly weights: LinearGroup; readonly begin: number } {
  const { outFeatures } = group.linears[i];
  const begin = group.linears.slice(0, i).reduce((sum, before) => sum + before.outFeatures, 0);
  return { weights: { ...group, linears: [group.linears[i]], outFeatures }, begin };
}

/** The same weights with no bias. */
export const withoutBias = (group: LinearGroup): LinearGroup => ({
  ...group,
  linears: group.linears.map((linear) => ({ ...linear, biasAt: null })),
});

/** Arena tensors for one layer. `input` is the residual stream it reads. */
export function layerActivations(
  plan: PlanBuilder,
  d: Decoder,
  layer: number,
  input: Tensor,
  again = '',
): LayerActivations {
  const { spec } = d;
  const { names } = spec.norm;
  const floats = (what: string, perToken: number, halves = false) =>
    plan.rows(`layer ${layer}${again} ${what}`, perToken, halves);
  const stored = (what: string, perToken: number) => floats(what, perToken, d.stored === 'f16');
  const lowRank = new Map<LinearSpec, Tensor>();
  const unscaled = new Map<LinearSpec, Tensor>();
  for (const group of linearGroups(spec)) {
    const adapters = groupAdapters(spec, d.lora, layer, group);
    const ranks = adapters.reduce((sum, adapter) => sum + (adapter?.rank ?? 0), 0);
    if (ranks === 0) continue;
    lowRank.set(group[0], floats(`${group[0].name} A·x`, ranks));
    const width = group.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
    if (d.lora.dora) unscaled.set(group[0], stored(`${group[0].name} before magnitudes`, width));
  }
  return {
    input,
    qkv: stored('q, k, v', qkvWidth(spec)),
    rawHeads: names.query === null ? null : stored('q, k before norms', headsWidth(spec)),
    attention: stored('attention', attentionWidth(spec)),
    lse: floats('log Σ exp', spec.attention.heads),
    projected: names.afterAttention === null ? null : floats('projected', spec.hiddenSize),
    middle: floats('middle', spec.hiddenSize),
    gateUp: stored('gate, up', 2 * spec.intermediateSize),
    mlp: names.afterMlp === null ? null : floats('MLP', spec.hiddenSize),
    lowRank,
    unscaled,
  };
}
