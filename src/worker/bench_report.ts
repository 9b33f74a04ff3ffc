/** What a bench is asked for and what it found: plain data, so that it crosses postMessage and lies in a JSON file. */

import type { Precision } from '../engine/kernels/matmul_tile.ts';
import type { Stored } from '../engine/model/decoder.ts';

export const BENCH_KINDS = ['kernels', 'train', 'generate', 'load', 'models', 'paging', 'streaming'] as const;
export type BenchKind = (typeof BENCH_KINDS)[number];

/** Rows of one length each. */
export interface BenchBatch {
  readonly rows: number;
  readonly length: number;
}

export interface BenchRequest {
  readonly kinds: readonly BenchKind[];
  /** Small shapes for where a CPU plays the GPU, or those of real models; null leaves it to the device. */
  readonly size: 'small' | 'full' | null;
  /** Kernel benches whose name contains one of these; null for all. */
  readonly only: readonly string[] | null;
  /** Passed to the kernels' benches, `tile=LARGE` for instance. */
  readonly variant: Readonly<Record<string, string>>;
  readonly samples: number;
  /** Names from bench_models.ts; null for a set that suits the device. */
  readonly models: readonly string[] | null;
  readonly batches: readonly BenchBatch[] | null;
  readonly checkpointing: readonly boolean[] | null;
  /** So many layers keep their activations, or as many as fit in so many MiB, instead of checkpointing all or none. */
  readonly keepLayers: number | null;
  readonly activationMib: number | null;
  /** Timed steps. */
  readonly steps: number;
  /** Measures matmul variants before training, as the page does; else they are chosen by rule. */
  readonly tune: boolean;
  /** What matmuls round their operands to; null: f16 where the device multiplies matrices. */
  readonly precision: Precision | null;
  readonly rank: number;
  readonly targetModules: 'all-linear' | readonly string[];
  /** What the maker says the device can do, TFLOP/s: MFU is given against it too. */
  readonly peakTflops: number | null;
  /** One document of 512, 1,024 … 8,192 tokens instead of batches. */
  readonly sweep: boolean;
  /** Lines of the paged optimizer's table; null of each: all of them. */
  readonly paging: PagingChoice;
}

/** Where moments go that do not fit the GPU: host memory, host memory with little beside the pages themselves, the disk. */
export const PAGING_TIERS = ['host', 'tight', 'disk'] as const;
export type PagingTier = (typeof PAGING_TIERS)[number];

export interface PagingChoice {
  readonly accumulations: readonly number[] | null;
  /** Per cent of the moments that the GPU holds. */
  readonly gpu: readonly number[] | null;
  readonly tiers: readonly PagingTier[] | null;
}

/** As src/engine/bench/statistics.ts makes it. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly samples: number;
}

export interface BenchDevice {
  readonly name: string;
  readonly software: boolean;
  /** What the adapter offers, and what of it the device was made with. */
  readonly features: readonly string[];
  readonly enabled: readonly string[];
  readonly subgroupSize: number | null;
  readonly subgroupMatrixConfigs: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** The browser's or Node's own name for itself. */
  readonly host: string;
}

export interface BenchCeilings {
  /** TFLOP/s of f32 multiply-adds in registers. */
  readonly fma: Spread;
  /** GB/s read and written by a copy. */
  readonly copy: Spread;
  /** Microseconds of an empty dispatch: on the GPU where it tells, by the clock. */
  readonly dispatchGpu: Spread | null;
  readonly dispatchWall: Spread;
  /** Microseconds of the CPU to encode a dispatch, with pipeline and bind group set for each, and without. */
  readonly encode: Spread;
  readonly encodeBare: Spread;
  /** TFLOP/s of subgroup matrices, f16 × f16 → f32. */
  readonly matrix: Spread | { readonly error: string } | null;
}

/** Something that could not be measured, and why. The rest goes on. */
export interface BenchFailure {
  readonly name: string;
  readonly error: string;
}

export interface KernelLine {
  readonly name: string;
  /** Milliseconds of one op. */
  readonly ms: Spread;
  /** Of medians. */
  readonly tflops: number;
  readonly gbs: number;
  /** What limits it at best, and the share of that limit it reaches: max(flops / fma, bytes / copy) over the time. */
  readonly bound: 'compute' | 'bandwidth';
  readonly share: number;
  readonly repeats: number;
  readonly timer: 'gpu' | 'clock';
  readonly dispatches: readonly { readonly kernel: string; readonly variant: string }[];
  /** The f32 rate right after, as a share of the ceiling: below 0.9 the GPU's clock was lower than there. */
  readonly clock: number | null;
}

export interface GroupLine {
  readonly group: string;
  readonly ms: number;
  readonly share: number;
  readonly dispatches: number;
}

/** Kernels of a step by name, the longest first. */
export interface KernelShare {
  readonly kernel: string;
  readonly group: string;
  readonly ms: number;
  readonly dispatches: number;
  /** As the plan counts operations; 0 where it does not. */
  readonly tflops: number;
}

export interface TrainLine {
  readonly name: string;
  readonly model: string;
  readonly rows: number;
  readonly length: number;
  /** What matmuls rounded to, and what linears and attention read and write was in memory. */
  readonly precision: Precision;
  readonly stored: Stored;
  readonly checkpointing: boolean;
  /** Layers that kept their activations; the others computed them again. */
  readonly keptLayers: number;
  /** Milliseconds a step, the queue empty before and after: what the peer is measured by. */
  readonly ms: Spread;
  readonly tokensPerSecond: number;
  /** Milliseconds a step when the next is enqueued before the last is done, as in a run. */
  readonly pipelinedMs: number;
  /** Milliseconds of the CPU until a step is enqueued. */
  readonly encodeMs: Spread;
  readonly dispatches: number;
  readonly dispatchesPerLayer: number;
  /** Of 4·N·tokens: N is the linears' parameters with the head's. */
  readonly tflops: number;
  /** Share of the measured f32 ceiling, and of the peak that was given. */
  readonly mfu: number;
  readonly mfuOfPeak: number | null;
  /** The f32 rate right after the timed steps, as a share of the ceiling. */
  readonly clock: number | null;
  readonly firstLoss: number;
  readonly lastLoss: number;
  /** Bytes at the peak, by category, from the moment the model was loaded. */
  readonly memory: Readonly<Record<string, number>>;
  readonly peakBytes: number;
  /** Seconds to make the trainer: adapter, plans, compiling, bind groups. */
  readonly createSeconds: number;
  readonly groups: readonly GroupLine[];
  readonly kernels: readonly KernelShare[];
  /** Sum of the profiled dispatches; what the step takes beyond it is gaps between dispatches, and the other way round. */
  readonly profiledMs: number;
  /** The longest dispatch of the profiled steps, or part of one that is cut. */
  readonly longestDispatch: { readonly kernel: string; readonly ms: number };
  /** Attention's share of the step's floating-point operations, and of the profiled time. */
  readonly attentionComputed: number;
  readonly attentionMeasured: number;
}

export interface GenerateLine {
  readonly name: string;
  readonly model: string;
  /** Side by side; every other one with the adapter. */
  readonly sequences: number;
  /** Tokens of each prompt. */
  readonly prompt: number;
  /** Of the prompts' matmuls. */
  readonly precision: Precision;
  /** Milliseconds for all prompts. */
  readonly prefillMs: Spread;
  readonly prefillTokensPerSecond: number;
  /** Milliseconds a step where the likeliest token is picked on the GPU, and where each step's logits are waited for. */
  readonly stepMs: Spread;
  readonly waitedMs: Spread;
  /** Of all sequences, by {@link stepMs}. */
  readonly tokensPerSecond: number;
  /** What a step must read: weights once, adapter, keys and values; its rate, and that as a share of the copy's. */
  readonly bytes: number;
  readonly gbs: number;
  readonly share: number;
  readonly dispatches: number;
  readonly createSeconds: number;
  readonly groups: readonly GroupLine[];
  readonly kernels: readonly KernelShare[];
  readonly profiledMs: number;
}

export interface LoadLine {
  readonly model: string;
  /** Of the checkpoint. */
  readonly bytes: number;
  readonly seconds: Spread;
  readonly gbs: number;
  /** The same bytes by plain queue writes, GB/s, and quantization's share of that. */
  readonly writeGbs: number;
  readonly share: number;
  readonly gpuPeakBytes: number;
  readonly gpuBytes: number;
  /** JavaScript's heap and array buffers at most while loading, in bytes; null where nothing tells. */
  readonly hostPeakBytes: number | null;
}

/** A model that was loaded from made-up weights and did a few steps over one batch. */
export interface ModelLine {
  readonly model: string;
  readonly parameters: number;
  readonly rows: number;
  readonly length: number;
  readonly checkpointing: boolean;
  readonly precision: Precision;
  /** What linears and attention read and write was in memory. */
  readonly stored: Stored;
  readonly loadSeconds: number;
  /** The most that was allocated while it loaded: staging beside the weights. */
  readonly loadPeakBytes: number;
  /** Seconds to make the trainer. */
  readonly createSeconds: number;
  /** Of each step; the first waits for each of its submits. */
  readonly stepMs: readonly number[];
  readonly losses: readonly number[];
  readonly gradNorms: readonly number[];
  /** Bytes by category: at the peak, from the moment the model was loaded, and as `predictMemory` says. */
  readonly measured: Readonly<Record<string, number>>;
  readonly predicted: Readonly<Record<string, number>>;
  readonly measuredBytes: number;
  readonly predictedBytes: number;
}

/** A paged optimizer's steps within one pair of budgets. */
export interface PagingLine {
  readonly name: string;
  readonly bits: 8 | 32;
  /** Of the moments. */
  readonly gpuShare: number;
  /** Whether all that does not fit the GPU stays in host memory; else it goes to the disk. */
  readonly host: boolean;
  /** Absent in older reports. */
  readonly tier?: PagingTier;
  readonly pageBytes: number;
  readonly accumulation: number;
  /** Milliseconds a step, one enqueued behind the other. */
  readonly ms: number;
  /** Of the same steps with all moments on the GPU. */
  readonly residentMs: number;
  /** Milliseconds a step that the GPU had nothing to do because a page was not there. */
  readonly stallMs: number;
  /** A step. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly storeRead: number;
  readonly storeWritten: number;
  readonly writtenGbAnHour: number;
  /** Milliseconds that each tier takes for those bytes at the rate measured beside it: through the GPU's slots, and the disk. */
  readonly gpuTierMs: number;
  readonly storeMs: number;
  /** ms / max(residentMs, gpuTierMs, storeMs), and ms / their sum. */
  readonly ofBound: number;
  readonly ofSum: number;
  /** Of the ledger's optimizer category, at most, and its budget. */
  readonly optimizerBytes: number;
  readonly budgetBytes: number;
  readonly hostBytes: number;
  /** Whether all losses and gradient norms equal those of the resident run. */
  readonly same: boolean;
}

/** GB/s, as `src/engine/bench/page_traffic.ts` measures them. */
export interface TierLine {
  readonly pageBytes: number;
  readonly toGpu: number;
  readonly fromGpu: number;
  /** Absent in reports of programs that had no such copy. */
  readonly hostCopy?: number;
  readonly roundTrip: number;
  readonly storeWrite: number | null;
  readonly storeRead: number | null;
}

export interface PagingReport {
  readonly model: string;
  readonly rank: number;
  readonly parameters: number;
  readonly rows: number;
  readonly length: number;
  readonly tiers: readonly TierLine[];
  readonly lines: readonly PagingLine[];
}

/** A model's steps with its layers' weights passing through a few slots. */
export interface StreamingLine {
  readonly model: string;
  readonly rows: number;
  readonly length: number;
  readonly budgetBytes: number;
  readonly residentWeightBytes: number;
  readonly weightBytes: number;
  readonly slots: number;
  readonly layers: number;
  readonly residentMs: number;
  readonly ms: number;
  readonly residentTokensPerSecond: number;
  readonly tokensPerSecond: number;
  /** A step. */
  readonly bytesIn: number;
  readonly stallMs: number;
  /** Those bytes to the GPU as they come, and nothing else, GB/s. */
  readonly writeGbs: number;
  /** Where the other layers lie; absent in older reports: in host memory. */
  readonly tier?: PagingTier;
  /** Of host memory, at most. */
  readonly hostBytes?: number;
  /** Read from the model's cache, a step; and reading its layers and nothing else, GB/s. */
  readonly bytesRead?: number;
  readonly readGbs?: number | null;
  /** ms / max(residentMs, what each tier takes for those bytes at that rate). */
  readonly ofBound?: number;
  readonly losses: readonly number[];
  readonly same: boolean;
}

export interface BenchReport {
  readonly format: 'nibble-bench';
  readonly version: 1;
  readonly date: string;
  readonly size: 'small' | 'full';
  readonly device: BenchDevice;
  readonly ceilings: BenchCeilings;
  readonly kernels: readonly KernelLine[];
  readonly train: readonly TrainLine[];
  /** Older reports have none. */
  readonly generate?: readonly GenerateLine[];
  readonly load: readonly LoadLine[];
  /** Absent in older reports. */
  readonly models?: readonly ModelLine[];
  readonly paging?: PagingReport;
  readonly streaming?: readonly StreamingLine[];
  readonly failures: readonly BenchFailure[];
  /** Ctrl-C came before all was measured. */
  readonly stopped: boolean;
}
