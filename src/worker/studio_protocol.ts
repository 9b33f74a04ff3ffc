/**
 * What the studio's page and its worker say to each other: one discriminated union a direction, a runId on everything
 * that belongs to a piece of work. Plain data only, so that it crosses postMessage; all heavy work is in the worker.
 *
 * The worker holds one model, one dataset and one adapter at a time; `train` uses them.
 */
import type { PrecisionChoice } from '../engine/train/gradient_check.ts';
import type { continuedLora } from '../formats/peft.ts';
import type { LoraConfig, QuantizationConfig, TrainingConfig } from '../formats/run_config.ts';
import type { AdapterFile, AdapterInfo, DataSummary, KeptActivations, MemoryCategory, StepRecord } from './protocol.ts';

/** Where a model comes from. */
export type ModelLocation =
  /** `revision` is a branch, tag or commit; it is pinned to a commit when opened. */
  | { kind: 'hub'; id: string; revision: string }
  /** A folder that was dropped, paths relative to it. */
  | { kind: 'files'; name: string; files: readonly { path: string; file: File }[] };

/** What a run needs beside model, data and adapter. */
export interface TrainRequest {
  readonly name: string;
  readonly quantization: QuantizationConfig;
  readonly lora: LoraConfig;
  readonly training: TrainingConfig;
}

/** The part of the settings that decides what the dataset becomes. */
export type DataSettings = Pick<
  TrainingConfig,
  | 'max_length'
  | 'packing'
  | 'assistant_only_loss'
  | 'per_device_train_batch_size'
  | 'gradient_accumulation_steps'
  | 'train_sampling_strategy'
  | 'seed'
> & {
  /** Share of the rows held out for validation, 0 for none. */
  readonly validation_share: number;
};

export type StudioCommand =
  /** Asks for the GPU and says what it is: `device`, or `failed` with NoGpuError. */
  | { type: 'start'; runId: string; hubUrl: string }
  /** Kept in the worker's memory only; null forgets it. No event follows. */
  | { type: 'token'; token: string | null }
  /** `search-results` or `failed`. */
  | { type: 'search'; runId: string; query: string }
  /** config.json and the file list only: `model-info` or `failed`. Nothing else is downloaded. */
  | { type: 'inspect-model'; runId: string; location: ModelLocation }
  /** Downloads and quantizes the inspected model: `model-progress` …, then `model-ready` or `failed`. Frees the one before. */
  | { type: 'load-model'; runId: string; location: ModelLocation; quantization: QuantizationConfig }
  /** Holds or goes on with a download (load-model) or a training run. */
  | { type: 'pause'; runId: string }
  | { type: 'resume'; runId: string }
  /** Cancels a load, or ends a training run after the step in flight and keeps what was trained. */
  | { type: 'stop'; runId: string }
  /** Reads a dataset with the loaded model's tokenizer: `data-progress` …, then `data-ready` or `failed`. */
  | { type: 'open-data'; runId: string; file: File; settings: DataSettings }
  /** Rows [from, from + count) as the model sees them: `rows`. */
  | { type: 'rows'; runId: string; from: number; count: number }
  /** An adapter to start from: a zip, or adapter_config.json and adapter_model.safetensors: `adapter-ready` or `failed`. */
  | { type: 'open-adapter'; runId: string; files: readonly File[] }
  /** Start from a fresh adapter again. No event follows. */
  | { type: 'clear-adapter' }
  /** `memory`, `step` …, `evaluation` …, `paused`/`resumed`, then `finished` or `failed`. */
  | { type: 'train'; runId: string; request: TrainRequest };

export interface ModelSearchResult {
  readonly id: string;
  readonly downloads: number;
  readonly likes: number;
  readonly gated: boolean;
  readonly updatedAt: string;
}

/** What config.json and the file list tell. */
export interface ModelInfo {
  /** Hub id or folder name. */
  readonly name: string;
  /** The commit the revision stands for; null for a folder. */
  readonly commit: string | null;
  readonly modelType: string;
  readonly parameters: number;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  /** Bytes of weights to be read. */
  readonly downloadBytes: number;
  readonly weightFiles: number;
  /** Last parts of the linears' names, for target_modules. */
  readonly linears: readonly string[];
  readonly chatTemplate: boolean;
}

/** A piece of a row's text: consecutive tokens with the same fate. */
export interface RowPiece {
  readonly text: string;
  readonly trained: boolean;
  /** A special token, shown as such. */
  readonly special: boolean;
}

export interface PreviewRow {
  /** Index in the dataset, after rows were left out. */
  readonly index: number;
  readonly tokens: number;
  readonly trainedTokens: number;
  readonly pieces: readonly RowPiece[];
}

export interface FileProgress {
  readonly file: string;
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

export type { PrecisionChoice };

/**
 * Comparing f16 with f32, where the GPU multiplies matrices in f16; finding this GPU's fastest kernels, until all are
 * known; making the ones it will use.
 */
export type PreparingStage = 'checking' | 'measuring' | 'compiling';

export type StudioEvent =
  | { type: 'device'; runId: string; adapter: AdapterInfo }
  | { type: 'search-results'; runId: string; results: readonly ModelSearchResult[] }
  | { type: 'model-info'; runId: string; info: ModelInfo }
  | {
      type: 'model-progress';
      runId: string;
      loadedBytes: number;
      totalBytes: number;
      tensor: string;
      files: readonly FileProgress[];
      /** The hosts that were spoken to so far. */
      hosts: readonly string[];
    }
  /** A request failed and is tried again. */
  | { type: 'retrying'; runId: string; attempt: number; seconds: number; reason: string }
  | { type: 'model-ready'; runId: string; info: ModelInfo; memory: Readonly<Record<MemoryCategory, number>> }
  | { type: 'paused'; runId: string }
  | { type: 'resumed'; runId: string }
  | { type: 'data-progress'; runId: string; rows: number; bytes: number; totalBytes: number }
  | {
      type: 'data-ready';
      runId: string;
      name: string;
      summary: DataSummary & {
        readonly validationExamples: number;
        readonly tokens: number;
        readonly longest: number;
        readonly stepsPerEpoch: number;
      };
      /** The first rows. */
      rows: readonly PreviewRow[];
    }
  | { type: 'rows'; runId: string; rows: readonly PreviewRow[] }
  | {
      type: 'adapter-ready';
      runId: string;
      name: string;
      /** What a run that goes on from it must set. */
      lora: ReturnType<typeof continuedLora>;
      /** Last parts of the names of the linears that it adapts. */
      modules: readonly string[];
      tensors: number;
    }
  /** What a run does before its trainer is made, told when it turns to it. */
  | { type: 'preparing'; runId: string; stage: PreparingStage }
  /** What the run's matmuls round to, told where there was a choice. */
  | { type: 'precision'; runId: string; choice: PrecisionChoice }
  | { type: 'memory'; runId: string; bytes: Readonly<Record<MemoryCategory, number>>; kept: KeptActivations }
  | { type: 'step'; runId: string; record: StepRecord; totalSteps: number; tokensPerSecond: number }
  | { type: 'evaluation'; runId: string; step: number; loss: number; tokens: number }
  /** `files` is the adapter folder (PEFT). */
  | { type: 'finished'; runId: string; steps: number; stopped: boolean; files: readonly AdapterFile[] }
  /**
   * The work ended by an error; `name` is the error's class, the message says what to do next. `GatedModelError` asks
   * for a token, `NoGpuError` for another browser. `files` is the adapter of the last good step.
   */
  | { type: 'failed'; runId: string; name: string; message: string; files?: readonly AdapterFile[] };
