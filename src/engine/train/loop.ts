/**
 * The training loop: enqueues optimizer steps, reads their figures back every few steps and reports them. Knows nothing
 * of configs, files or a page; it gets the windows and the schedule as arguments and emits events.
 */
import type { TokenBatch } from '../token_batch.ts';
import type { PagingFigures } from './paging/moments.ts';
import { PagingMeter, type PagingRates } from './paging/rates.ts';

/** A line of the log, in the field's names. */
export interface LoopRecord {
  /** From 1. */
  readonly step: number;
  /** Σ NLL / Σ trained tokens of the step's window. */
  readonly loss: number;
  /** Before clipping. */
  readonly grad_norm: number;
  readonly learning_rate: number;
  /** Trained tokens in the window. */
  readonly num_tokens: number;
  readonly mean_token_accuracy: number;
}

export type LoopEvent =
  /** `tokensPerSecond` counts all tokens, trained or not, since the last read-back. */
  | { readonly type: 'step'; readonly record: LoopRecord; readonly tokensPerSecond: number }
  /** Of an optimizer that is paged, behind the steps that it is of. */
  | { readonly type: 'paging'; readonly rates: PagingRates }
  | { readonly type: 'evaluation'; readonly step: number; readonly loss: number; readonly tokens: number };

/** What the loop needs of a trainer. */
export interface StepTrainer {
  /** Null where nothing is paged. */
  readonly paging?: PagingFigures | null;
  /** Enqueues one optimizer step over an accumulation window. */
  step(window: readonly TokenBatch[], learningRate: number): Promise<void>;
  /** The figures of the steps enqueued since the last call, in order; waits for the GPU. */
  readLog(): Promise<
    readonly {
      readonly lossSum: number;
      readonly hits: number;
      readonly gradNorm: number;
      readonly trainedTokens: number;
      readonly learningRate: number;
    }[]
  >;
}

export interface TrainingLoop {
  readonly trainer: StepTrainer;
  /** Steps done before, of a run that goes on from a checkpoint. */
  readonly first?: number;
  /** One a step, in order, beginning with the step after `first`. */
  readonly windows: Iterable<readonly TokenBatch[]> | AsyncIterable<readonly TokenBatch[]>;
  readonly steps: number;
  /** What is done before each step, counted from 0, that is no part of training: it changes nothing of it. */
  readonly between?: (step: number) => Promise<void>;
  /** The learning rate of a step, from 0. */
  readonly learningRate: (step: number) => number;
  /** Most steps between two read-backs. */
  readonly logEvery: number;
  readonly evaluation?: {
    readonly every: number;
    readonly run: () => Promise<{ readonly lossSum: number; readonly tokens: number }>;
  };
  readonly checkpoint?: {
    /** Steps between two checkpoints; infinite for those at pauses and at the end alone. */
    readonly every: number;
    /** One was asked for, out of turn: true once for each time. */
    readonly asked?: () => boolean;
    /** Called when every step so far was reported. Resolves when training may go on. */
    readonly save: (step: number) => Promise<void>;
  };
  /** Shut while the user has paused. */
  readonly gate?: { readonly paused: boolean; wait(): Promise<void> };
  /** Ends the loop after the step in flight. */
  readonly signal?: AbortSignal;
  readonly emit: (event: LoopEvent) => void;
}

export class NonFiniteLossError extends Error {
  override name = 'NonFiniteLossError';
  readonly step: number;
  constructor(step: number, what: string, value: number, learningRate: number) {
    super(
      `Step ${step}: the ${what} is ${value}, so training cannot go on. What was trained before it is kept. ` +
        `Start again with a lower learning_rate (it was ${learningRate} there), or a lower max_grad_norm.`,
    );
    this.step = step;
  }
}

/** Time between two read-backs, aimed at: each one empties the GPU's queue, but Ctrl-C and the chart wait for it. */
const READ_BACK_MS = 500;

/**
 * Trains until `steps` are done or the signal is aborted; every step that was enqueued is reported.
 *
 * @throws NonFiniteLossError when a loss or a gradient norm is NaN or infinite.
 */
export async function runTraining(loop: TrainingLoop): Promise<{ steps: number; stopped: boolean }> {
  const { trainer, steps, evaluation, checkpoint, gate, signal, emit } = loop;
  const first = loop.first ?? 0;
  let enqueued = first;
  let logged = first;
  let saved = first;
  let tokens = 0;
  let stride = 1;
  let readBack = performance.now();
  const meter = new PagingMeter(readBack);

  const flush = async () => {
    if (enqueued === logged) return;
    const entries = await trainer.readLog();
    const now = performance.now();
    const milliseconds = Math.max(now - readBack, 1e-3);
    const tokensPerSecond = (tokens * 1000) / milliseconds;
    const perStep = milliseconds / Math.max(1, entries.length);
    stride = Math.min(loop.logEvery, Math.max(1, Math.round(READ_BACK_MS / perStep)));
    readBack = now;
    tokens = 0;
    for (const entry of entries) {
      const record = toRecord(++logged, entry);
      emit({ type: 'step', record, tokensPerSecond });
    }
    const { paging } = trainer;
    if (paging) emit({ type: 'paging', rates: meter.rates(paging, entries.length, now) });
  };

  const evaluate = async () => {
    if (!evaluation) return;
    await flush();
    const { lossSum, tokens: evaluated } = await evaluation.run();
    emit({ type: 'evaluation', step: enqueued, loss: lossSum / evaluated, tokens: evaluated });
    // Evaluation is not training: it must not count as slow steps.
    readBack = performance.now();
  };

  const save = async () => {
    if (!checkpoint || saved === enqueued) return;
    await flush();
    await checkpoint.save(enqueued);
    saved = enqueued;
    readBack = performance.now();
  };

  const pause = async () => {
    if (!gate?.paused || signal?.aborted) return;
    await flush();
    await save();
    await aborted(signal, gate.wait());
    readBack = performance.now();
  };

  for await (const window of loop.windows) {
    await pause();
    if (enqueued >= steps || signal?.aborted) break;
    if (loop.between) {
      const begun = performance.now();
      await loop.between(enqueued);
      // It must not count as slow steps.
      readBack += performance.now() - begun;
    }
    await trainer.step(window, loop.learningRate(enqueued));
    enqueued++;
    for (const batch of window) tokens += batch.ids.length;
    if (enqueued - logged >= stride) await flush();
    if (evaluation && enqueued % evaluation.every === 0) await evaluate();
    if (checkpoint && (enqueued % checkpoint.every === 0 || checkpoint.asked?.())) await save();
  }
  await flush();
  await save();
  return { steps: enqueued, stopped: enqueued < steps };
}

/** Waits for `work`, or for the signal if that is sooner. */
async function aborted(signal: AbortSignal | undefined, work: Promise<void>): Promise<void> {
  if (!signal) return work;
  let stop = () => {};
  const stopped = new Promise<void>((resolve) => {
    stop = resolve;
  });
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  await Promise.race([work, stopped]);
  signal.removeEventListener('abort', stop);
}

function toRecord(step: number, entry: Awaited<ReturnType<StepTrainer['readLog']>>[number]): LoopRecord {
  const loss = entry.lossSum / entry.trainedTokens;
  if (!Number.isFinite(loss)) throw new NonFiniteLossError(step, 'loss', loss, entry.learningRate);
  if (!Number.isFinite(entry.gradNorm)) {
    throw new NonFiniteLossError(step, 'gradient norm', entry.gradNorm, entry.learningRate);
  }
  return {
    step,
    loss,
    grad_norm: entry.gradNorm,
    learning_rate: entry.learningRate,
    num_tokens: entry.trainedTokens,
    mean_token_accuracy: entry.hits / entry.trainedTokens,
  };
}
