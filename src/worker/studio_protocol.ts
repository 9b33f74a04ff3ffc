/**
 * What the studio's page and its worker say to each other: one discriminated union a direction, a runId on everything
 * that belongs to a piece of work. Plain data only, so that it crosses postMessage; all heavy work is in the worker.
 *
 * The worker holds one model, one dataset and one adapter at a time; `train` uses them.
 */
import type { PrecisionChoice } from '../engine/train/gradient_check.ts';
import type { continuedLora } from '../formats/peft.ts';
import type {
  ColumnRoles,
  LoraConfig,
  QuantizationConfig,
  SystemPrompt,
  TrainingConfig,
} from '../formats/run_config.ts';
import type {
  AdapterFile,
  AdapterInfo,
  DataSummary,
  KeptActivations,
  LeftOut,
  MemoryCategory,
  PagingRates,
  StepRecord,
} from './protocol.ts';

/** Where a model comes from. */
export type ModelLocation =
  /** `revision` is a branch, tag or commit; it is pinned to a commit when opened. */
  | { kind: 'hub'; id: string; revision: string }
  /** A folder that was dropped, paths relative to it. */
  | { kind: 'files'; name: string; files: readonly { path: string; file: File }[] }
  /** The cache of quantized weights. */
  | { kind: 'cached'; key: string; name: string };

/** How tokens are chosen; transformers' names and meanings. */
export interface Sampling {
  /** 0 takes the likeliest token each time. */
  readonly temperature: number;
  /** Only the so many likeliest; 0 for all. */
  readonly top_k: number;
  /** Only the fewest likeliest whose probabilities add up to it; 1 for all. */
  readonly top_p: number;
  readonly seed: number;
  readonly max_new_tokens: number;
}

/** Why a text ended. */
export type Ending = 'end of turn' | 'length' | 'context' | 'stopped';

export interface ChatTurn {
  readonly role: string;
  readonly content: string;
}

/** What is to be continued: a conversation through the model's chat template, or a text as it is. */
export type TryInput =
  | { readonly kind: 'chat'; readonly messages: readonly ChatTurn[] }
  | { readonly kind: 'text'; readonly text: string };

/** One of the texts that are continued side by side. */
export interface TryRow {
  readonly input: TryInput;
  /** How much of the adapter: 0 is the base model, 1 the adapter as it was trained. */
  readonly strength: number;
}

/** The adapter of the run that goes on, or of the last one; the one that was opened; none. */
export type TryAdapter = 'trained' | 'opened' | 'none';

/** Texts continued every so many steps of a run, greedily, to see it learn. */
export interface SampleSettings {
  readonly prompts: readonly string[];
  readonly every: number;
  readonly max_new_tokens: number;
}

/** What a run needs beside model, data and adapter. */
export interface TrainRequest {
  readonly name: string;
  /** Null or left out: none. */
  readonly samples?: SampleSettings | null;
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
  /** Share of the rows held out for validation, 0 for none; a validation file goes before it. */
  readonly validation_share: number;
  readonly remove_duplicates: boolean;
  /** Column → role, where the columns are mapped by hand; null when each row is judged by its own fields. */
  readonly columns: ColumnRoles | null;
  readonly system_prompt: SystemPrompt | null;
};

/** How plain text becomes rows. */
export interface TextRows {
  readonly by: 'paragraph' | 'window';
  readonly windowBytes: number;
}

/** Where a dataset comes from. */
export type DataLocation =
  | { kind: 'files'; files: readonly File[] }
  /** Parquet files of a dataset on the Hub, of one configuration and split; the first of them when null. */
  | { kind: 'hub'; id: string; config: string | null; split: string | null };

export type PredictedModel = 'inspected' | 'loaded';

export type StudioCommand =
  /** Asks for the GPU and says what it is: `device`, or `failed` with NoGpuError. */
  | { type: 'start'; runId: string; hubUrl: string }
  /** Kept in the worker's memory only; null forgets it. No event follows. */
  | { type: 'token'; token: string | null }
  /** `search-results` or `failed`. */
  | { type: 'search'; runId: string; query: string }
  /** config.json and the file list only: `model-info` or `failed`. Nothing else is downloaded. */
  | { type: 'inspect-model'; runId: string; location: ModelLocation }
  /**
   * What a run would take, over the model that was inspected last or is loaded: `prediction`, or `failed` where it cannot be
   * made on this device.
   */
  | {
      type: 'predict';
      runId: string;
      of: PredictedModel;
      /** Of a model that is not loaded yet. */
      quantization: QuantizationConfig;
      lora: LoraConfig;
      training: TrainingConfig;
      samples?: SampleSettings | null;
    }
  /** Downloads and quantizes the inspected model: `model-progress` …, then `model-ready` or `failed`. Frees the one before. */
  | { type: 'load-model'; runId: string; location: ModelLocation; quantization: QuantizationConfig }
  /** Holds or goes on with a download (load-model) or a training run. */
  | { type: 'pause'; runId: string }
  | { type: 'resume'; runId: string }
  /** The page may be about to end: a training run writes a checkpoint after the step in flight. No event but `saved` follows. */
  | { type: 'save'; runId: string }
  /** Cancels a load, or ends a training run after the step in flight and keeps what was trained. */
  | { type: 'stop'; runId: string }
  /**
   * Reads a dataset's files through, and those of its validation set: `data-read` as soon as there are rows to look at,
   * `data-progress` …, then `data-read` with `done` or `failed`. Needs no model.
   */
  | { type: 'read-data'; runId: string; data: DataLocation; validation: DataLocation | null; text: TextRows }
  /** Rows [from, from + count) as the files have them: `raw-rows`. */
  | { type: 'raw-rows'; runId: string; from: number; count: number }
  /** One row as the loaded model sees it: `row`. */
  | { type: 'show-row'; runId: string; row: number; settings: DataSettings }
  /** Tokenizes what was read, with the loaded model: `data-progress` …, then `data-ready` or `failed`. */
  | { type: 'prepare-data'; runId: string; settings: DataSettings }
  /** What 4 bits made of a linear of the loaded model (`self_attn.q_proj` of a layer): `weights` or `failed`. */
  | { type: 'show-weights'; runId: string; layer: number; linear: string }
  /** An adapter to start from: a zip, or adapter_config.json and adapter_model.safetensors: `adapter-ready` or `failed`. */
  | { type: 'open-adapter'; runId: string; files: readonly File[] }
  /** Start from a fresh adapter again. No event follows. */
  | { type: 'clear-adapter' }
  /** `memory`, `step` …, `evaluation` …, `sample` …, `paused`/`resumed`, `saved` …, then `finished` or `failed`. */
  | { type: 'train'; runId: string; request: TrainRequest }
  /**
   * Continues texts side by side: `prompts`, `text` …, then `generated` or `failed`. While a run trains, its next step
   * waits. `stop` keeps what is there.
   */
  | { type: 'generate'; runId: string; rows: readonly TryRow[]; sampling: Sampling; adapter: TryAdapter }
  /**
   * Answers the questions of a file, base against adapter: `evaluate-progress` …, then `evaluated` or `failed`. `stop` ends it with
   * the rows done so far. While a run trains, its next step waits.
   */
  | { type: 'evaluate'; runId: string; files: readonly File[]; limit: number; adapter: TryAdapter }
  /**
   * Goes on with a stored run, with its model from the cache or from where it came from: `model-progress` …, `restored`, then
   * as `train`. `maxSteps` makes it longer than it was.
   */
  | { type: 'resume-run'; runId: string; id: string; maxSteps?: number }
  /** `storage`. */
  | { type: 'list-storage'; runId: string }
  /** With all that it has stored: `storage`, or `failed` where another tab trains it. */
  | { type: 'delete-run'; runId: string; id: string }
  | { type: 'delete-model'; runId: string; key: string };

/** A run that needs more GPU memory than a page may count on, and with which settings it would not. */
export interface MemoryRemedy {
  readonly neededBytes: number;
  readonly roomBytes: number;
  /** Null where paging and streaming are not enough. */
  readonly settings:
    | (Partial<Pick<TrainingConfig, 'optim' | 'optimizer_memory_budget'>> &
        Partial<Pick<QuantizationConfig, 'weight_memory_budget'>>)
    | null;
}

/** Bytes on the disk that a run would take. */
export interface PredictedDisk {
  /** Two checkpoints, the one being written, pages in use, and the data where it is known. */
  readonly run: number;
  /** The model's quantized weights; 0 where they are in the cache already. */
  readonly model: number;
  /** What the browser still gives, models that would be evicted included; null where it does not say or keeps nothing. */
  readonly left: number | null;
}

/** A stored run, as the list shows it. */
export interface RunSummary {
  readonly id: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly updated: number;
  /** `interrupted`: its tab ended while it was trained. */
  readonly state: 'running' | 'interrupted' | 'paused' | 'finished' | 'stopped' | 'failed';
  /** Some tab trains it now. */
  readonly open: boolean;
  readonly checkpointStep: number;
  readonly totalSteps: number;
  readonly losses: readonly number[];
  /** On the disk. */
  readonly bytes: number;
  readonly reason: string | null;
  readonly request: TrainRequest;
  readonly model: ModelInfo;
  readonly modelCached: boolean;
}

/** A model in the cache. */
export interface CachedModelSummary {
  readonly key: string;
  readonly name: string;
  readonly commit: string | null;
  readonly used: number;
  readonly bytes: number;
  /** Otherwise what is there spares a part of the next download. */
  readonly complete: boolean;
}

/** A cached model that was deleted to make room. */
export interface EvictedModel {
  readonly name: string;
  readonly bytes: number;
  /** Kept runs that will download it again when they go on. */
  readonly runs: readonly string[];
}

export interface StorageFacts {
  /** Why nothing is kept when the tab is closed; null where it is. */
  readonly volatile: string | null;
  readonly usedBytes: number | null;
  readonly quotaBytes: number | null;
  readonly persisted: boolean;
  readonly runs: readonly RunSummary[];
  readonly models: readonly CachedModelSummary[];
}

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
  /** Their paths in a layer, `self_attn.q_proj`. */
  readonly linearPaths: readonly string[];
  readonly chatTemplate: boolean;
}

/** A piece of a row's text: consecutive tokens with the same fate. */
export interface RowPiece {
  readonly text: string;
  readonly trained: boolean;
  /** A special token, shown as such. */
  readonly special: boolean;
}

/** A row as its file has it, for a table: texts are cut short. */
export interface RawRow {
  /** Number in the dataset, from 0. */
  readonly row: number;
  readonly file: string;
  readonly line: number;
  /** By {@link DataTable.columns}. */
  readonly cells: readonly string[];
}

/** A row as the model sees it, or why it does not. */
export interface ShownRow {
  readonly row: number;
  readonly file: string;
  readonly line: number;
  /** Tokens that are kept, of `wholeTokens` before max_length. */
  readonly tokens: number;
  readonly wholeTokens: number;
  readonly trainedTokens: number;
  readonly pieces: readonly RowPiece[];
  /** What to know of this row. */
  readonly notes: readonly string[];
  /** Why the row is left out; then there are no pieces. */
  readonly problem: string | null;
}

/** A dataset's files once they were read. */
export interface DataTable {
  readonly files: readonly {
    readonly name: string;
    readonly format: string;
    readonly bytes: number;
    readonly rows: number;
    /** What rows are counted by in messages. */
    readonly unit: 'line' | 'row';
  }[];
  readonly rows: number;
  readonly columns: readonly string[];
  /** The shape of the rows, `mixed` or `unknown`, and a sentence that says by what it was told. */
  readonly shape: string;
  readonly reason: string;
  /** The first rows that cannot be read, and how many there are. */
  readonly problems: readonly LeftOut[];
  readonly problemCount: number;
  /** Of the validation files, 0 where there are none. */
  readonly validationRows: number;
}

/** The figures of {@link DataSummary} and what only the page shows. */
export interface StudioDataSummary extends DataSummary {
  readonly validationExamples: number;
  readonly tokens: number;
  readonly longest: number;
  readonly duplicates: number;
  readonly stepsPerEpoch: number;
  readonly lengths: LengthFigures;
  readonly droppedByKind: Readonly<Record<string, number>>;
  /** What to know before training: fewer rows than a batch, say. */
  readonly warnings: readonly string[];
}

/** Tokens an example, before anything is cut. */
export interface LengthFigures {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
  readonly bins: readonly number[];
  readonly binWidth: number;
}

/** How a linear's weights lie on the sixteen levels. */
export interface WeightFigures {
  /** Its path. */
  readonly linear: string;
  readonly quantType: 'nf4' | 'fp4';
  readonly doubleQuant: boolean;
  /** Ascending, of a block's largest magnitude; and how many weights have each. */
  readonly levels: readonly number[];
  readonly uses: readonly number[];
  /** ‖W − Ŵ‖/‖W‖; null where the weights as they were are not at hand. */
  readonly error: number | null;
}

export interface FileProgress {
  readonly file: string;
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

export type { PrecisionChoice };

/** Answers counted: all of a side, those right, and of multiple choice those right by log-likelihood a character. */
export interface EvaluationScore {
  readonly answered: number;
  readonly correct: number;
  readonly correctByLength: number;
}

/** One question with both sides' answers. */
export interface EvaluatedRow {
  readonly line: number;
  readonly question: string;
  readonly expected: string;
  readonly base: string;
  readonly baseRight: boolean;
  /** Null without an adapter. */
  readonly tuned: string | null;
  readonly tunedRight: boolean;
}

export interface EvaluationResult {
  /** By greedy generation, or by each choice's log-likelihood. */
  readonly kind: 'exact match' | 'multiple choice';
  readonly base: EvaluationScore;
  readonly tuned: EvaluationScore | null;
  /** The first ones. */
  readonly rows: readonly EvaluatedRow[];
  /** Rows that ask nothing, and the first reason. */
  readonly skipped: number;
  readonly reason: string | null;
  readonly stopped: boolean;
  readonly seconds: number;
}

/**
 * Loading the model again, where it is not on the GPU as the run wants it; comparing f16 with f32, where the GPU multiplies
 * matrices in f16; finding this GPU's fastest kernels, until all are known; making the ones it will use.
 */
export type PreparingStage = 'loading' | 'checking' | 'measuring' | 'compiling';

export type StudioEvent =
  | { type: 'device'; runId: string; adapter: AdapterInfo }
  | { type: 'search-results'; runId: string; results: readonly ModelSearchResult[] }
  | { type: 'model-info'; runId: string; info: ModelInfo }
  | {
      type: 'prediction';
      runId: string;
      bytes: Readonly<Record<MemoryCategory, number>>;
      /** Layers that keep their activations. */
      kept: { readonly layers: number; readonly of: number };
      /** Host memory for what leaves the GPU. */
      hostBytes: number;
      disk: PredictedDisk;
      remedy: MemoryRemedy | null;
    }
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
  | {
      type: 'model-ready';
      runId: string;
      info: ModelInfo;
      memory: Readonly<Record<MemoryCategory, number>>;
      /** Layers that have a place on the GPU; the others are streamed. */
      layers: { readonly count: number; readonly of: number };
      /** Why it is not in the cache, where it should be. */
      notKept: string | null;
    }
  | { type: 'paused'; runId: string }
  | { type: 'resumed'; runId: string }
  /** Bytes while files are read, rows while they are tokenized. */
  | { type: 'data-progress'; runId: string; stage: 'reading' | 'tokenizing'; done: number; total: number; rows: number }
  /** `rows` are the first ones. */
  | { type: 'data-read'; runId: string; table: DataTable; rows: readonly RawRow[]; done: boolean }
  | { type: 'raw-rows'; runId: string; rows: readonly RawRow[] }
  | { type: 'row'; runId: string; row: ShownRow }
  | { type: 'data-ready'; runId: string; summary: StudioDataSummary }
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
  | { type: 'storage'; runId: string; facts: StorageFacts }
  /** To make room for what is loaded or trained now. */
  | { type: 'evicted'; runId: string; models: readonly EvictedModel[] }
  /** The run is kept as `id`; a checkpoint takes about so many bytes. */
  | { type: 'run-stored'; runId: string; id: string; checkpointBytes: number }
  /** A stored run goes on after `step`; `notes` are what to know of it. */
  | {
      type: 'restored';
      runId: string;
      step: number;
      records: readonly StepRecord[];
      evaluations: readonly { readonly step: number; readonly loss: number }[];
      notes: readonly string[];
    }
  | { type: 'saved'; runId: string; step: number; bytes: number }
  /** A checkpoint could not be written: the run is paused, and the one before is intact. */
  | { type: 'save-failed'; runId: string; step: number; name: string; message: string }
  /** The graphics device was lost; the run goes on from its checkpoint on a new one. */
  | { type: 'device-lost'; runId: string; message: string }
  /** What a run does before its trainer is made, told when it turns to it. */
  | { type: 'preparing'; runId: string; stage: PreparingStage }
  /** What the run's matmuls round to, told where there was a choice. */
  | { type: 'precision'; runId: string; choice: PrecisionChoice }
  | { type: 'memory'; runId: string; bytes: Readonly<Record<MemoryCategory, number>>; kept: KeptActivations }
  | { type: 'step'; runId: string; record: StepRecord; totalSteps: number; tokensPerSecond: number }
  /** Where the moments of a paged optimizer lie, and what moves. */
  | { type: 'paging'; runId: string; rates: PagingRates }
  | { type: 'evaluation'; runId: string; step: number; loss: number; tokens: number }
  /** ‖B·A‖ of each layer after so many steps; of adapters that are small enough to be looked at while they are trained. */
  | { type: 'adapter-norms'; runId: string; step: number; norms: readonly number[] }
  | { type: 'weights'; runId: string; figures: WeightFigures }
  /** The sample prompts' continuations by the adapter after so many steps, in the order of the prompts. */
  | { type: 'sample'; runId: string; step: number; texts: readonly string[] }
  /** What the model is given, a row each. */
  | {
      type: 'prompts';
      runId: string;
      prompts: readonly { readonly pieces: readonly RowPiece[]; readonly tokens: number }[];
    }
  /** What a row goes on with, and how many tokens it has now. */
  | { type: 'text'; runId: string; row: number; text: string; tokens: number }
  | {
      type: 'generated';
      runId: string;
      rows: readonly { readonly tokens: number; readonly ending: Ending }[];
      /** Without the prompts' share. */
      seconds: number;
      memory: Readonly<Record<MemoryCategory, number>>;
    }
  | { type: 'evaluate-progress'; runId: string; done: number; total: number }
  | { type: 'evaluated'; runId: string; result: EvaluationResult }
  /** `files` is the adapter folder (PEFT). */
  | {
      type: 'finished';
      runId: string;
      steps: number;
      /** By the user; a run that no longer gets better ends by itself. */
      stopped: boolean;
      files: readonly AdapterFile[];
      /** Where it is not the last one: the step of the adapter that is kept, and its validation loss. */
      kept?: { readonly step: number; readonly loss: number };
    }
  /**
   * The work ended by an error; `name` is the error's class, the message says what to do next. `GatedModelError` asks
   * for a token, `NoGpuError` for another browser. `files` is the adapter of the last good step.
   */
  | { type: 'failed'; runId: string; name: string; message: string; files?: readonly AdapterFile[] };
