/** How much GPU memory a run will take, before anything is downloaded or allocated. */
import type { ModelSpec } from '../../formats/model_spec.ts';
import type { Capabilities } from '../device/capabilities.ts';
import { dryGpu } from '../device/dry_gpu.ts';
import type { MemoryCategory } from '../device/ledger.ts';
import { reserveGenerator } from '../generate/generator.ts';
import type { MomentBits } from '../kernels/adamw.ts';
import type { TableDtype } from '../kernels/float_dtype.ts';
import type { Precision } from '../kernels/matmul_tile.ts';
import type { Stored } from '../model/decoder.ts';
import type { LinearFormats } from '../model/layer_layout.ts';
import { type LoraOptions, loraRuns } from '../model/lora.ts';
import { layersFromCache, SLAB_HOST_BYTES, SLABS_ON_THE_WAY } from '../model/slabs.ts';
import { ModelWeights } from '../model/weights.ts';
import { GENERATIONS_KEPT, type PageStore } from '../page_store.ts';
import { FlatState } from './flat_state.ts';
import type { KeepLayers } from './kept_layers.ts';
import { Moments, type PagingOptions } from './paging/moments.ts';
import { hostPagesOf } from './paging/pages.ts';
import { keptLayersWithin, PlanRecorder } from './plan_set.ts';
import { allocateRun } from './run_buffers.ts';

export interface ModelMemory extends LinearFormats {
  readonly spec: ModelSpec;
  /** Of the embedding and the head: the checkpoint's, or 8 bits. */
  readonly tableDtype: TableDtype;
  /** Bytes of GPU memory for weights; without it all layers are there at once. */
  readonly budget?: number;
  /** Bytes of host memory for layers that are streamed and lie in a cache too. */
  readonly hostBudget?: number;
}

export interface RunMemory {
  readonly lora: LoraOptions;
  /** The most tokens a micro-batch will have. */
  readonly capacity: number;
  readonly positions: number;
  readonly precision: Precision;
  /** f32 unless given. */
  readonly stored?: Stored;
  readonly keep: KeepLayers;
  readonly loraPlusRatio: number;
  /** What is generated between steps: so many texts at a time, of so many tokens, after prompts of so many together. */
  readonly samples?: { readonly sequences: number; readonly context: number; readonly promptTokens: number } | null;
  /** Of paging only the budgets count; a store is taken to be there. */
  readonly moments: { readonly bits: MomentBits; readonly paging: Omit<PagingOptions, 'store'> | null };
}

export interface PredictedMemory {
  /** Bytes. */
  readonly bytes: Readonly<Record<MemoryCategory, number>>;
  readonly total: number;
  /** Layers that keep their activations. */
  readonly keptLayers: number;
  /** Host memory for layers that are streamed, where they come from no checkpoint in 4 bits. */
  readonly layersHostBytes: number;
  /** Null without a run. */
  readonly moments: PredictedMoments | null;
}

/** Where the moments will lie. Bytes. */
export interface PredictedMoments {
  readonly pages: number;
  readonly pageBytes: number;
  readonly hostBytes: number;
  /** Of pages in the store, as training goes on: each once, and those being written. */
  readonly storedBytes: number;
  /** A checkpoint's parameters and moments. */
  readonly checkpointBytes: number;
  /** The most that the disk holds at once: the generations that are kept, one being written, and pages in use. */
  readonly diskBytes: number;
}

/**
 * The ledger's bytes while a run trains: the same code asks a device that only counts for the same buffers, so that it
 * is right to the byte where the device at hand has these capabilities and no measured choice of variants. Staging while
 * weights load, and what reading back takes, is not in it.
 *
 * @param run null: the model alone
 * @throws GpuMemoryError, RangeError where the device's limits forbid what the run needs in one piece.
 */
export function predictMemory(capabilities: Capabilities, model: ModelMemory, run: RunMemory | null): PredictedMemory {
  const gpu = dryGpu(capabilities);
  const weights = ModelWeights.blank(gpu, model.spec, model, model.tableDtype, model.budget);
  const { count, of } = weights.slots;
  const slabs = weights.layouts.map(({ words }) => words * 4);
  const layersHostBytes = count < of ? hostBytesOf(slabs, model.hostBudget) : 0;
  let keptLayers = 0;
  let moments: PredictedMoments | null = null;
  if (run) {
    const state = new FlatState(gpu, loraRuns(model.spec, run.lora));
    const { bits, paging } = run.moments;
    const held = new Moments(gpu, state.banks, { bits, paging: paging && { ...paging, store: NO_STORE } });
    moments = predictMoments(held, state);
    const { decoder, optimizer, stepUniform } = allocateRun(gpu, state, held, { ...run, model: weights });
    const { capacity, keep } = run;
    const recorder = new PlanRecorder(gpu, { decoder, optimizer, stepUniform, capacity, keep, tune: null });
    keptLayers = keptLayersWithin(gpu, recorder, model.spec.layers.length, keep);
    recorder.allocate(keptLayers);
    if (run.samples) {
      const { promptTokens, ...sizes } = run.samples;
      reserveGenerator(gpu, { model: weights, adapter: decoder, ...sizes }, promptTokens);
    }
  }
  return { bytes: gpu.ledger.byCategory(), total: gpu.ledger.total(), keptLayers, layersHostBytes, moments };
}

/** Of slabs that stay in host memory, and of those on their way from the cache. */
function hostBytesOf(slabs: readonly number[], budget = SLAB_HOST_BYTES): number {
  const cached = layersFromCache(slabs, budget);
  const kept = slabs.reduce((sum, bytes, i) => sum + (cached.has(i) ? 0 : bytes), 0);
  return kept + (cached.size > 0 ? SLABS_ON_THE_WAY * Math.max(...slabs) : 0);
}

function predictMoments({ residency, pageBytes, pageCount }: Moments, state: FlatState): PredictedMoments {
  const { stored, inFlight } = residency;
  const storedBytes = stored > 0 ? (stored + inFlight) * pageBytes : 0;
  const adapterBytes = state.banks.reduce((sum, { elements }) => sum + 4 * elements, 0);
  const checkpointBytes = pageCount * pageBytes + adapterBytes;
  return {
    pages: pageCount,
    pageBytes,
    hostBytes: hostPagesOf(residency) * pageBytes,
    storedBytes,
    checkpointBytes,
    diskBytes: (GENERATIONS_KEPT + 1) * checkpointBytes + storedBytes,
  };
}

/** What is predicted moves nothing. */
const NO_STORE: PageStore = {
  write: () => Promise.reject(new Error('a prediction has no pages')),
  read: () => Promise.reject(new Error('a prediction has no pages')),
  retain: () => {},
  free: () => Promise.resolve(),
};
