/**
 * ModelSpec: all that differs between architectures, as data (REFERENCE.md §4). The engine reads this and never asks
 * which model it is; a new architecture adds a parser beside `model_config.ts` and, rarely, a kernel variant.
 */

/** A frozen linear layer of a decoder layer: weight `[outFeatures, inFeatures]`, row-major, as PyTorch stores it. */
export interface LinearSpec {
  /** Path below the layer, for instance `self_attn.q_proj`: tensor names and LoRA keys are made from it. */
  readonly name: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias: boolean;
}

/** The four places a decoder layer multiplies. Fused checkpoints (phi3) have one module in `qkv` and `gateUp`. */
export interface LayerLinears {
  /** Outputs lie side by side: all query heads, then key heads, then value heads. */
  readonly qkv: readonly LinearSpec[];
  readonly output: LinearSpec;
  /** Outputs lie side by side: gate, then up. */
  readonly gateUp: readonly LinearSpec[];
  readonly down: LinearSpec;
}

/** Rotary embedding: inverse frequencies per pair of dimensions, already scaled, and a factor on cos and sin. */
export interface RopeSpec {
  /**
   * Inverse frequencies, rotaryDim / 2 of them (half-split layout, `rotate_half`): float32 values, as PyTorch computes
   * them. An angle is their float32 product with the position, `Math.fround(position * frequency)`; its cosine and sine
   * may then be taken in float64.
   */
  readonly inverseFrequencies: readonly number[];
  /** Multiplies cos and sin (yarn, longrope), else 1. */
  readonly attentionScaling: number;
  /** What batches with more positions than `beyond` have instead, or null: the same at every length. */
  readonly long: LongRope | null;
}

export type LongRope =
  /** longrope: other frequencies. */
  | { readonly kind: 'fixed'; readonly beyond: number; readonly inverseFrequencies: readonly number[] }
  /** Dynamic NTK: a theta that grows with the length. */
  | { readonly kind: 'dynamic'; readonly beyond: number; readonly theta: number; readonly factor: number };

export interface LayerSpec {
  /** Index into `ropes`, or null for a layer without positions (smollm3). */
  readonly rope: number | null;
  /** A query sees keys with index > q − window; null for all earlier keys. */
  readonly window: number | null;
}

/**
 * Names of a layer's norm modules, below the layer, such as `input_layernorm`: the tensor is `<layer><name>.weight`, as for
 * linears. Absent ones are null.
 */
export interface LayerNorms {
  readonly beforeAttention: string;
  readonly afterAttention: string | null;
  readonly beforeMlp: string;
  readonly afterMlp: string | null;
  readonly query: string | null;
  readonly key: string | null;
}

export interface ModelSpec {
  readonly modelType: string;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly attention: {
    readonly heads: number;
    readonly kvHeads: number;
    readonly headDim: number;
    /** Multiplies q·k. */
    readonly scale: number;
    /** c in c·tanh(x/c) on the scores, or null. */
    readonly softCap: number | null;
  };
  readonly activation: 'silu' | 'gelu_tanh';
  readonly norm: {
    readonly epsilon: number;
    /** Added to the stored weight: 1 for Gemma, else 0. */
    readonly weightOffset: 0 | 1;
    readonly names: LayerNorms;
  };
  readonly linears: LayerLinears;
  readonly ropes: readonly RopeSpec[];
  /** One entry a decoder layer. */
  readonly layers: readonly LayerSpec[];
  /** Multiplies the embedding's rows, or null. */
  readonly embeddingScale: number | null;
  readonly finalSoftCap: number | null;
  readonly tiedHead: boolean;
  /** Whole tensor names outside the layers, and the prefix of layer i's tensors (`model.layers.` + i + `.`). */
  readonly tensors: {
    readonly embedding: string;
    readonly finalNorm: string;
    readonly head: string;
    readonly layerPrefix: string;
    /** Pairs (ours, theirs): how checkpoints of an older module tree begin these names. */
    readonly olderPrefixes?: readonly (readonly [string, string])[];
  };
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
}

/** All linears of a layer in the order they run. */
export function layerLinears(spec: ModelSpec): LinearSpec[] {
  const { qkv, output, gateUp, down } = spec.linears;
  return [...qkv, output, ...gateUp, down];
}
