/**
 * What the page (or the command line) and the worker say to each other: one discriminated union a direction, a runId
 * on everything that belongs to a run. Plain data only, so that it crosses postMessage.
 */
import type { PagingRates } from '../engine/train/paging/rates.ts';
import type { RunConfig } from '../formats/run_config.ts';
import type { BenchReport, BenchRequest } from './bench_report.ts';

/** Where a folder is: an HTTP folder that answers Range requests, or a folder on disk (Node only). */
export type FolderLocation = { kind: 'http'; url: string } | { kind: 'disk'; path: string };

export type { PagingRates };

export type Command =
  /**
   * Trains. `base` is the folder that RunConfig's relative paths start from; `folders` says where those are that do not
   * lie below it, by the path as the RunConfig has it (of a file: its folder's).
   */
  | {
      type: 'train';
      runId: string;
      config: RunConfig;
      base: FolderLocation;
      folders?: Readonly<Record<string, FolderLocation>>;
      /** Where checkpoints go; with `resume` the run goes on from the newest one there. */
      checkpoints?: { readonly location: FolderLocation; readonly resume: boolean };
    }
  /** Ends the run after the step in flight and keeps what was trained: `finished` follows with the adapter. */
  | { type: 'stop'; runId: string }
  /**
   * Runs a golden case and compares it with what PyTorch got. `base` is the case's folder; `variant` forces kernel
   * variants, such as tile = LARGE, how many layers keep their activations (keep_layers = 1) and into how many parts
   * dispatches are cut (parts = 2); limits = default asks for a device with WebGPU's default limits, rules = gpu takes what the
   * rules give a GPU where a CPU plays it; precision = f16 and stored = f16 compare within f16's
   * limits.
   */
  | { type: 'parity'; runId: string; base: FolderLocation; variant?: Readonly<Record<string, string>> }
  /** Quantizes a model's linears and hashes what comes out, for the comparison with bitsandbytes. */
  | { type: 'quantize'; runId: string; model: FolderLocation }
  /** Measures the device, kernels, training steps and loading. */
  | { type: 'bench'; runId: string; bench: BenchRequest };

/** A command that starts a run. */
export type RunCommand = Exclude<Command, { type: 'stop' }>;

export interface AdapterInfo {
  readonly name: string;
  readonly features: readonly string[];
  readonly subgroupSize: number | null;
}

export type MemoryCategory = 'weights' | 'adapter' | 'optimizer' | 'activations' | 'logits' | 'cache' | 'staging';

/** A line of log.jsonl. */
export interface StepRecord {
  readonly step: number;
  readonly loss: number;
  readonly grad_norm: number;
  readonly learning_rate: number;
  /** Trained tokens in the step's accumulation window. */
  readonly num_tokens: number;
  readonly mean_token_accuracy: number;
}

/** A row that is not trained on. */
export interface LeftOut {
  readonly file: string;
  /** From 1; the row's number in a file without lines. */
  readonly line: number;
  /** Empty where the whole row is meant. */
  readonly field: string;
  /** Why, in a word of the program: `syntax`, `missing-field`, `nothing-to-train` … */
  readonly kind: string;
  readonly reason: string;
}

export interface DataSummary {
  readonly examples: number;
  readonly trainedTokens: number;
  readonly truncated: number;
  /** The first rows left out, with file, line (from 1), field, kind and reason. */
  readonly dropped: readonly LeftOut[];
  readonly droppedCount: number;
  /** What the user should know of the data: how many rows it concerns, and the first of them. */
  readonly notes: readonly { text: string; rows: number; firstLine: number }[];
  readonly microBatchesPerEpoch: number;
}

/** One comparison of a parity case; passes when value ≤ limit. */
export interface ParityCheck {
  readonly name: string;
  readonly value: number;
  readonly limit: number;
  readonly pass: boolean;
}

export interface ParityReport {
  readonly case: string;
  readonly pass: boolean;
  readonly maxLossRelError: number;
  readonly checks: readonly ParityCheck[];
  readonly adapter: string;
  /** Dispatches of each kernel during the training steps. */
  readonly dispatches: Readonly<Record<string, number>>;
  readonly steps: readonly StepRecord[];
  readonly seconds: number;
}

/** A file of the trained adapter, path relative to its folder. */
export interface AdapterFile {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** SHA-256, in hexadecimal, of a quantized linear's parts (REFERENCE.md §1). */
export interface QuantizedHashes {
  readonly name: string;
  readonly packed: string;
  /** Without double quantization, f32. */
  readonly absmax: string;
  /** With double quantization, a byte a block. */
  readonly absmaxBytes: string;
}

/** Layers of the model that keep their activations for the backward pass; the others compute them again. */
export interface KeptActivations {
  readonly layers: number;
  readonly of: number;
}

export type WorkerEvent =
  | { type: 'device'; runId: string; adapter: AdapterInfo }
  | { type: 'loading'; runId: string; loadedBytes: number; totalBytes: number; tensor: string }
  | { type: 'data'; runId: string; summary: DataSummary }
  /** `kept` where something trains. */
  | { type: 'memory'; runId: string; bytes: Readonly<Record<MemoryCategory, number>>; kept?: KeptActivations }
  | { type: 'step'; runId: string; record: StepRecord; totalSteps: number; tokensPerSecond: number }
  /** Where the moments of a paged optimizer lie, and what moves. */
  | { type: 'paging'; runId: string; rates: PagingRates }
  | { type: 'evaluation'; runId: string; step: number; loss: number; tokens: number }
  /** The run's sample prompts as the adapter continues them after so many steps, in their order. */
  | { type: 'sample'; runId: string; step: number; texts: readonly string[] }
  /** The run goes on after `step`; `records` are the steps up to there, `notes` what to know of it. */
  | { type: 'restored'; runId: string; step: number; records: readonly StepRecord[]; notes: readonly string[] }
  /** A checkpoint of so many bytes is on the disk. */
  | { type: 'saved'; runId: string; step: number; bytes: number }
  /** A checkpoint could not be written; the one before is intact, and the run goes on. */
  | { type: 'save-failed'; runId: string; step: number; name: string; message: string }
  /** The run ended, at max_steps or by `stop`; `files` is the adapter folder (PEFT). */
  | {
      type: 'finished';
      /** Where it is not the last one: the step of the adapter that is kept, and its validation loss. */
      kept?: { readonly step: number; readonly loss: number };
      runId: string;
      steps: number;
      stopped: boolean;
      files: readonly AdapterFile[];
      dispatches: Readonly<Record<string, number>>;
    }
  | { type: 'parity'; runId: string; report: ParityReport }
  | { type: 'quantized'; runId: string; tensors: readonly QuantizedHashes[]; seconds: number }
  /** What a bench is at; the figures come at its end. */
  | { type: 'bench-progress'; runId: string; text: string }
  | { type: 'benched'; runId: string; report: BenchReport }
  /**
   * The run ended by an error. `name` is the error's class; the message says what to do next. `files` is the adapter of
   * the last good step, where training had begun.
   */
  | { type: 'failed'; runId: string; name: string; message: string; files?: readonly AdapterFile[] };

/** One event of a kind. */
export type EventOf<T extends WorkerEvent['type']> = Extract<WorkerEvent, { type: T }>;
