/**
 * Examples → rows → micro-batches → accumulation windows. A step's window is a function of the step's number alone, so a
 * resumed run continues with the very batches it would have seen. Plans know examples by number and length: their tokens
 * are fetched when their step comes (batches.ts).
 */
import type { TrainingConfig } from '../formats/run_config.ts';
import type { Example, FlatBatch, MicroBatch, NumberedBatch, PaddedBatch } from './batch.ts';
import { IGNORE_INDEX } from './batch.ts';
import { lengthGrouped } from './length_groups.ts';
import { packBestFitDecreasing } from './packing.ts';
import { permutation } from './random.ts';

export type BatchingConfig = Pick<
  TrainingConfig,
  | 'max_length'
  | 'packing'
  | 'per_device_train_batch_size'
  | 'gradient_accumulation_steps'
  | 'train_sampling_strategy'
  | 'seed'
>;

/** The order in which a run sees its data. */
export interface BatchPlan {
  readonly rows: number;
  readonly microBatchesPerEpoch: number;
  /** Optimizer steps in an epoch. */
  readonly windowsPerEpoch: number;
  /** Tokens of the longest rows together that one micro-batch could hold, in whatever order an epoch has them. */
  readonly mostTokens: number;
  /** The micro-batches of one epoch, in order; `epoch` counts from 0. Sequential runs see the same ones each epoch. */
  epoch(epoch: number): Iterable<NumberedBatch>;
  /**
   * The micro-batches that optimizer step `step` (from 0) accumulates: `gradient_accumulation_steps` of them, fewer at
   * an epoch's end, after which the next epoch starts again from its first micro-batch.
   */
  window(step: number): readonly NumberedBatch[];
}

/**
 * Packs examples, given by their lengths, into rows if asked to, and lays out the epochs. `random` shuffles whole rows, by
 * `seed` and epoch; `group_by_length` brings rows of about the same length together.
 *
 * @throws RangeError when there is no example: {@link prepareDataset} says why before it comes to this.
 */
export function planBatches(lengths: ArrayLike<number>, config: BatchingConfig): BatchPlan {
  if (lengths.length === 0) throw new RangeError('There is no example to make batches of.');
  const packed = config.packing ? packBestFitDecreasing(lengths, config.max_length) : undefined;
  const rows = packed?.length ?? lengths.length;
  const rowAt = (row: number): readonly number[] => packed?.[row] ?? [row];
  const rowLengths = Uint32Array.from({ length: rows }, (_, row) =>
    rowAt(row).reduce((sum, number) => sum + lengths[number], 0),
  );
  const size = config.per_device_train_batch_size;
  const accumulation = config.gradient_accumulation_steps;
  const microBatchesPerEpoch = Math.ceil(rows / size);
  const windowsPerEpoch = Math.ceil(microBatchesPerEpoch / accumulation);
  const strategy = config.train_sampling_strategy;

  const orderOf = (epoch: number): Uint32Array | undefined => {
    switch (strategy) {
      case 'sequential':
        return undefined;
      case 'random':
        return permutation(rows, config.seed, epoch);
      case 'group_by_length':
        return lengthGrouped(rowLengths, size, permutation(rows, config.seed, epoch));
      default:
        return strategy satisfies never;
    }
  };
  // Steps are asked for in order, so the last epoch's order is the only one worth keeping.
  let kept: { readonly epoch: number; readonly order: Uint32Array | undefined } | undefined;
  const microBatch = (epoch: number, index: number): NumberedBatch => {
    if (kept?.epoch !== epoch) kept = { epoch, order: orderOf(epoch) };
    const { order } = kept;
    const first = index * size;
    return Array.from({ length: Math.min(size, rows - first) }, (_, i) => rowAt(order ? order[first + i] : first + i));
  };
  return {
    rows,
    microBatchesPerEpoch,
    windowsPerEpoch,
    mostTokens: rowLengths
      .slice()
      .sort()
      .subarray(-size)
      .reduce((sum, length) => sum + length, 0),
    *epoch(epoch) {
      for (let index = 0; index < microBatchesPerEpoch; index++) yield microBatch(epoch, index);
    },
    window(step) {
      const first = (step % windowsPerEpoch) * accumulation;
      const count = Math.min(accumulation, microBatchesPerEpoch - first);
      const epoch = Math.floor(step / windowsPerEpoch);
      return Array.from({ length: count }, (_, i) => microBatch(epoch, first + i));
    },
  };
}

/** A micro-batch as PyTorch takes it; see {@link PaddedBatch}. The padding's id is `padTokenId`. */
export function collate(batch: MicroBatch, padTokenId: number): PaddedBatch {
  const lengths = batch.map((row) => row.reduce((sum, example) => sum + example.ids.length, 0));
  const width = Math.max(0, ...lengths);
  const padded: PaddedBatch = { input_ids: [], labels: [], position_ids: [], segments: [] };
  for (const [index, row] of batch.entries()) {
    const padding = width - lengths[index]!;
    const pad = (values: number[], value: number) => [...values, ...new Array<number>(padding).fill(value)];
    padded.input_ids.push(
      pad(
        row.flatMap((example) => [...example.ids]),
        padTokenId,
      ),
    );
    padded.labels.push(pad(row.flatMap(documentLabels), IGNORE_INDEX));
    padded.position_ids.push(
      pad(
        row.flatMap((example) => [...example.ids.keys()]),
        0,
      ),
    );
    padded.segments.push(
      pad(
        row.flatMap((example, segment) => example.ids.map(() => segment + 1)),
        0,
      ),
    );
  }
  return padded;
}

/** A document's first token has nothing before it to be predicted from. */
function documentLabels(example: Example): number[] {
  return example.labels.map((label, index) => (index === 0 ? IGNORE_INDEX : label));
}

/** A micro-batch for the engine, without padding: its T is the number of real tokens. */
export function flatten(batch: MicroBatch): FlatBatch {
  const documents = batch.flat();
  const flat = new FlatBuilder(documents.reduce((sum, example) => sum + example.ids.length, 0));
  for (const example of documents) flat.document(example.ids, example.labels, [...example.ids.keys()]);
  return flat.finish();
}

/**
 * A padded batch for the engine with its padding kept, so that logits can be compared with PyTorch position by position:
 * T = rows · width, row-major. A run of equal segments within a row is one document; the padding at a row's end is such a
 * run, all at position 0.
 */
export function flattenPadded(batch: PaddedBatch): FlatBatch {
  const flat = new FlatBuilder(batch.input_ids.reduce((sum, row) => sum + row.length, 0));
  for (const [r, segments] of batch.segments.entries()) {
    for (let begin = 0, end = 0; begin < segments.length; begin = end) {
      while (end < segments.length && segments[end] === segments[begin]) end++;
      const part = (rows: readonly number[][]) => rows[r]!.slice(begin, end);
      flat.document(part(batch.input_ids), part(batch.labels), part(batch.position_ids));
    }
  }
  return flat.finish();
}

class FlatBuilder {
  readonly #ids: Uint32Array;
  readonly #targets: Int32Array;
  readonly #positions: Uint32Array;
  readonly #documents: Uint32Array;
  #at = 0;
  #trained = 0;

  constructor(tokens: number) {
    this.#ids = new Uint32Array(tokens);
    this.#targets = new Int32Array(tokens).fill(-1);
    this.#positions = new Uint32Array(tokens);
    this.#documents = new Uint32Array(2 * tokens);
  }

  document(ids: readonly number[], labels: readonly number[], positions: readonly number[]): void {
    const begin = this.#at;
    const end = begin + ids.length;
    for (let i = 0; i < ids.length; i++) {
      const at = begin + i;
      this.#ids[at] = ids[i]!;
      this.#positions[at] = positions[i]!;
      this.#documents[2 * at] = begin;
      this.#documents[2 * at + 1] = end;
      const next = labels[i + 1] ?? IGNORE_INDEX;
      if (next !== IGNORE_INDEX) {
        this.#targets[at] = next;
        this.#trained++;
      }
    }
    this.#at = end;
  }

  finish(): FlatBatch {
    return {
      ids: this.#ids,
      targets: this.#targets,
      positions: this.#positions,
      documents: this.#documents,
      trainedTokens: this.#trained,
    };
  }
}
