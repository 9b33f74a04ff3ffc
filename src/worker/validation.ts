/**
 * Validation while a run goes on: the loss over the held-out rows, the best adapter so far (`load_best_model_at_end`), and an
 * end when it no longer gets better (`early_stopping_patience`), as transformers' EarlyStoppingCallback has it.
 */

import type { FlatBatch } from '../data/batch.ts';
import type { Batches } from '../data/batches.ts';
import { flatten } from '../data/batching.ts';
import type { AdapterTensor } from '../formats/peft.ts';
import type { TrainingConfig } from '../formats/run_config.ts';

type Tensors = ReadonlyMap<string, AdapterTensor>;

/** What of a trainer validation needs. */
export interface ValidatedTrainer {
  evaluate(batches: AsyncIterable<FlatBatch>): Promise<{ lossSum: number; tokens: number }>;
  readAdapter(): Promise<Tensors>;
}

type ValidationConfig = Pick<TrainingConfig, 'early_stopping_patience' | 'load_best_model_at_end'>;

/** Which adapter a run ends with. */
export interface KeptAdapter {
  readonly step: number;
  /** Over the validation rows. */
  readonly loss: number;
}

/** What a checkpoint keeps of it, as JSON; the best adapter's values go beside it. */
export interface ValidationState {
  readonly evaluations: number;
  readonly worse: number;
  readonly best: KeptAdapter | null;
  /** Names and shapes of the best adapter's tensors, where it is kept. */
  readonly tensors: readonly (readonly [name: string, shape: readonly number[]])[] | null;
}

export class Validation {
  /** Steps between two evaluations. */
  readonly every: number;
  readonly #trainer: ValidatedTrainer;
  readonly #batches: Batches;
  readonly #config: ValidationConfig;
  readonly #enough = new AbortController();
  #evaluations = 0;
  #worse = 0;
  #best: KeptAdapter | null = null;
  #tensors: Tensors | null = null;

  constructor(trainer: ValidatedTrainer, batches: Batches, every: number, config: ValidationConfig) {
    this.#trainer = trainer;
    this.#batches = batches;
    this.every = every;
    this.#config = config;
  }

  /** Aborted when the loss has not fallen for `early_stopping_patience` evaluations. */
  get enough(): AbortSignal {
    return this.#enough.signal;
  }

  /** Called every {@link every} steps, with the adapter as it stands then. */
  readonly run = async (): Promise<{ lossSum: number; tokens: number }> => {
    const result = await this.#trainer.evaluate(flattened(this.#batches));
    const step = ++this.#evaluations * this.every;
    const loss = result.lossSum / result.tokens;
    if (loss < (this.#best?.loss ?? Number.POSITIVE_INFINITY)) {
      this.#best = { step, loss };
      this.#worse = 0;
      if (this.#config.load_best_model_at_end) this.#tensors = await this.#trainer.readAdapter();
    } else {
      this.#worse++;
      if (this.#worse >= (this.#config.early_stopping_patience ?? Number.POSITIVE_INFINITY)) this.#enough.abort();
    }
    return result;
  };

  state(): ValidationState {
    const tensors = this.#tensors && [...this.#tensors].map(([name, { shape }]) => [name, shape] as const);
    return { evaluations: this.#evaluations, worse: this.#worse, best: this.#best, tensors };
  }

  /** Goes on from a state; `values` are those of its tensors, one behind the other. */
  restore({ evaluations, worse, best, tensors }: ValidationState, values: Uint8Array<ArrayBuffer> | null): void {
    this.#evaluations = evaluations;
    this.#worse = worse;
    this.#best = best;
    this.#tensors = null;
    if (!tensors || !values) return;
    const floats = new Float32Array(values.buffer, values.byteOffset, values.byteLength / 4);
    let at = 0;
    this.#tensors = new Map(
      tensors.map(([name, shape]) => {
        const begin = at;
        at += shape.reduce((a, b) => a * b, 1);
        return [name, { shape: [...shape], data: floats.slice(begin, at) }];
      }),
    );
  }

  /** The best adapter, where it is to be kept and there was one. */
  get kept(): { readonly tensors: Tensors; readonly adapter: KeptAdapter } | null {
    return this.#tensors && this.#best ? { tensors: this.#tensors, adapter: this.#best } : null;
  }
}

async function* flattened({ epoch }: Batches): AsyncGenerator<FlatBatch> {
  for await (const batch of epoch(0)) yield flatten(batch);
}
