/** How a layer works while text is generated: prompts at once, then a token of each sequence at a time. */
import { attentionDecode } from '../kernels/attention_decode.ts';
import { doraForward } from '../kernels/dora.ts';
import { kvStore } from '../kernels/kv_store.ts';
import { fitsMatvecDense, matvecDense } from '../kernels/matvec_dense.ts';
import { fitsMatvecNf4, matvecNf4 } from '../kernels/matvec_nf4.ts';
import { rmsNorm } from '../kernels/rms_norm.ts';
import { softCap } from '../kernels/soft_cap.ts';
import { attentionShape, type Decoder, groupOf } from '../model/decoder.ts';
import { DOCUMENTS, type GroupProduct, type LayerPath } from '../model/decoder_forward.ts';
import { headForward } from '../model/output_head.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import type { ArenaTensor, Tensor } from '../plan/tensor.ts';
import type { KvCache } from './kv_cache.ts';

interface CachedTokens {
  readonly cache: KvCache;
  /** Which of the cache's sequences each token belongs to. */
  readonly slots: Tensor;
}

function store(plan: PlanBuilder, d: Decoder, layer: number, qkv: Tensor, { cache, slots }: CachedTokens) {
  const { positions } = d.inputs;
  kvStore(plan, { shape: d.spec.attention, qkv, positions, slots, cache: cache.layers[layer] });
}

/** Whole prompts, as training has its documents; their keys and values are kept. */
export const prefillPath = (cached: CachedTokens): LayerPath => ({
  linears: DOCUMENTS.linears,
  attention(plan, d, layer, a) {
    store(plan, d, layer, a.qkv, cached);
    DOCUMENTS.attention(plan, d, layer, a);
  },
});

/** One token of each sequence, its keys and those before it in the cache. */
export const decodePath = (cached: CachedTokens): LayerPath => ({
  linears: fewRows,
  attention(plan, d, layer, { qkv, attention: o }) {
    store(plan, d, layer, qkv, cached);
    const { positions } = d.inputs;
    const shape = attentionShape(d.spec, layer);
    attentionDecode(plan, { shape, qkv, positions, slots: cached.slots, cache: cached.cache.layers[layer], o });
  },
});

/** As `DOCUMENTS.linears`, each weight read once for all rows; the sizes of some small models only that can do. */
function fewRows(plan: PlanBuilder, d: Decoder, product: GroupProduct): void {
  const { layer, linears, x, y, activations, residual } = product;
  const { adapter, weights: group } = groupOf(d, layer, linears);
  const u = activations.lowRank.get(linears[0]);
  const z = activations.unscaled.get(linears[0]);
  const { inFeatures } = group;
  const fits =
    y !== null &&
    fitsMatvecNf4(plan.capacity, group) &&
    (!adapter || fitsMatvecDense(plan.capacity, 'F32', inFeatures, adapter.aAt));
  if (!fits) {
    DOCUMENTS.linears(plan, d, product);
    return;
  }
  if (!adapter || !u) {
    matvecNf4(plan, { x: x.tensor, y, group, residual });
    return;
  }
  if (!d.strength) throw new Error('an adapter has no strengths to be applied with');
  const { columns, aAt, parameters } = adapter;
  matvecDense(plan, {
    x: x.tensor,
    y: { tensor: u, stride: columns, at: 0 },
    weight: parameters,
    weightAt: aAt,
    dtype: 'F32',
    depth: inFeatures,
    width: columns,
  });
  const lora = { u, adapter, strength: d.strength };
  if (!z || !d.doraNorms) {
    matvecNf4(plan, { x: x.tensor, y, group, lora, residual });
    return;
  }
  const unbiased = { ...group, linears: group.linears.map((linear) => ({ ...linear, biasAt: null })) };
  matvecNf4(plan, { x: x.tensor, y: z, group: unbiased, lora });
  doraForward(plan, { group, adapter, norms: d.doraNorms.tensor, z, y, residual, strength: d.strength });
}

/** Logits [capacity, vocab] of the residual stream x, kept to the end of the plan. */
export function fewLogits(plan: PlanBuilder, d: Decoder, x: Tensor): ArenaTensor {
  const { hiddenSize: depth, vocabSize, finalSoftCap: cap } = d.spec;
  const hidden = plan.tensor('final normed', plan.capacity * depth * 4);
  rmsNorm(plan, { x, weight: d.weights.finalNorm, y: hidden });
  const logits = plan.tensor('logits', plan.capacity * vocabSize * 4, 'logits');
  const { dtype, shards } = d.weights.head;
  // Tables of 8 bits go the general way.
  if (dtype !== 'I8' && fitsMatvecDense(plan.capacity, dtype, depth)) {
    for (const { tensor: weight, first, count } of shards) {
      const y = { tensor: logits, stride: vocabSize, at: first };
      matvecDense(plan, { x: hidden, y, weight, dtype, depth, width: count });
    }
    if (cap !== null) softCap(plan, { x: logits, width: vocabSize, rows: { first: 0, count: plan.capacity }, cap });
  } else headForward(plan, d, hidden, logits, 0, plan.capacity);
  plan.keep(logits);
  return logits;
}
