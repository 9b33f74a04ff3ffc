/**
 * A run's checkpoints: what is in one, when one is written, and going on from one. The trained state is copied where the run
 * stands and written while training goes on; a checkpoint that cannot be written harms neither the run nor the one before.
 */

import type { Stored } from '../engine/model/decoder.ts';
import { type Generation, type GenerationStore, PageDamagedError, type PageVersion } from '../engine/page_store.ts';
import type { PrecisionChoice } from '../engine/train/gradient_check.ts';
import type { LoopEvent, LoopRecord } from '../engine/train/loop.ts';
import type { RestoredPage, TrainerSnapshot, TrainerState } from '../engine/train/snapshot.ts';
import { PARAMETERS } from '../engine/train/snapshot.ts';
import type { KernelChoices } from '../engine/tuning/kernel_choices.ts';
import { CheckpointLostError } from '../storage/errors.ts';
import { isDataPage } from './run_data.ts';
import type { RunIdentity } from './run_identity.ts';
import { checkIdentity } from './run_identity.ts';
import type { Validation, ValidationState } from './validation.ts';

/** What a run was started with and keeps to the end, whatever is measured or chosen later: its bits depend on it. */
export interface PinnedChoices extends KernelChoices {
  /** The graphics adapter; on another one the curve goes on, but not to the bit. */
  readonly adapter: string;
  readonly precision: PrecisionChoice['precision'];
  /** Not there in checkpoints of before there were others than f32. */
  readonly stored?: Stored;
  readonly keptLayers: number;
}

export interface Evaluation {
  readonly step: number;
  readonly loss: number;
  readonly tokens: number;
}

/** The state that goes with a generation's pages. */
export interface RunCheckpoint {
  readonly trainer: TrainerState;
  readonly pinned: PinnedChoices;
  readonly identity: RunIdentity;
  readonly log: readonly LoopRecord[];
  readonly evaluations: readonly Evaluation[];
  readonly validation: ValidationState | null;
}

export type CheckpointStore = GenerationStore<RunCheckpoint>;

/** What a checkpoint needs of a trainer. */
export interface SnapshotTrainer {
  snapshot(): Promise<TrainerSnapshot>;
  restore(state: TrainerState, pages: AsyncIterable<RestoredPage>): Promise<void>;
  /** Null where all moments stay on the GPU. */
  readonly paging: object | null;
}

/** Pages that the best adapter takes: one. */
const BEST = 'best';

export interface CheckpointerOptions {
  readonly store: CheckpointStore;
  readonly trainer: SnapshotTrainer;
  readonly validation: Validation | null;
  readonly pinned: PinnedChoices;
  readonly identity: RunIdentity;
  /** Steps between two. */
  readonly every: number;
  /** Pages that belong to each checkpoint and are in the store already. */
  readonly pages?: readonly PageVersion[];
  /** Asked after each step: whether one is wanted now, out of turn. */
  readonly asked?: () => boolean;
  readonly onSaved?: (step: number, bytes: number, log: readonly LoopRecord[]) => void | Promise<void>;
  /** It could not be written; those before are intact, and the next is tried when its time comes. */
  readonly onFailed: (error: Error, step: number) => void;
}

export class Checkpointer {
  readonly every: number;
  readonly #options: CheckpointerOptions;
  readonly #log: LoopRecord[];
  readonly #evaluations: Evaluation[];
  #writing: Promise<void> = Promise.resolve();
  #best: { readonly tensors: unknown; readonly version: PageVersion } | null = null;

  /** @param from what the run goes on from */
  constructor(options: CheckpointerOptions, from: RunCheckpoint | null = null) {
    this.#options = options;
    this.every = options.every;
    this.#log = [...(from?.log ?? [])];
    this.#evaluations = [...(from?.evaluations ?? [])];
  }

  /** Whether one is wanted now. */
  readonly asked = (): boolean => this.#options.asked?.() ?? false;

  /** Hears of all that the loop tells. */
  record(event: LoopEvent): void {
    if (event.type === 'step') this.#log.push(event.record);
    else if (event.type === 'evaluation')
      this.#evaluations.push({ step: event.step, loss: event.loss, tokens: event.tokens });
  }

  /** Resolves when training may go on; the writing goes on beside it. One at a time: a slow disk slows the run. */
  readonly save = async (step: number): Promise<void> => {
    await this.#writing;
    const { trainer, validation, pinned, identity, onFailed } = this.#options;
    const snapshot = await trainer.snapshot();
    const state: RunCheckpoint = {
      trainer: snapshot.state,
      pinned,
      identity,
      log: [...this.#log],
      evaluations: [...this.#evaluations],
      validation: validation?.state() ?? null,
    };
    this.#writing = this.#write(step, snapshot, state)
      .catch((error: unknown) => onFailed(error instanceof Error ? error : new Error(String(error)), step))
      .finally(() => snapshot.dispose());
  };

  /** Resolves when what was begun is written, or has failed. */
  settle(): Promise<void> {
    return this.#writing;
  }

  async #write(step: number, snapshot: TrainerSnapshot, state: RunCheckpoint): Promise<void> {
    const { store, onSaved, pages: always = [] } = this.#options;
    const written: PageVersion[] = [];
    try {
      for await (const { page, bytes } of snapshot.pages()) written.push(await store.write(page, bytes));
      const best = await this.#writeBest();
      const pages = [...always, ...written, ...snapshot.versions, ...(best ? [best] : [])];
      await store.commit({ step, pages, state });
      await onSaved?.(
        step,
        pages.reduce((sum, { byteLength }) => sum + byteLength, 0),
        state.log,
      );
    } finally {
      await store.free([...written, ...snapshot.versions]);
    }
  }

  /** The best adapter is written when it changes, not at each checkpoint. */
  async #writeBest(): Promise<PageVersion | null> {
    const { store, validation } = this.#options;
    const kept = validation?.kept;
    if (!kept) return null;
    if (this.#best?.tensors !== kept.tensors) {
      const bytes = new Uint8Array(
        await new Blob([...kept.tensors.values()].map(({ data }) => data.slice())).arrayBuffer(),
      );
      const version = await store.write(BEST, bytes);
      if (this.#best) await store.free([this.#best.version]);
      this.#best = { tensors: kept.tensors, version };
    }
    return this.#best.version;
  }
}

export interface Restored {
  readonly step: number;
  readonly checkpoint: RunCheckpoint;
  /** What the user should know: that the newest checkpoint was damaged, or that it was another GPU. */
  readonly notes: readonly string[];
}

/**
 * The choices that the trainer has to be made with, of the newest checkpoint.
 *
 * @throws CheckpointLostError where there is none; CheckpointMismatchError naming what was changed.
 */
export async function checkpointToResume(store: CheckpointStore, identity: RunIdentity): Promise<RunCheckpoint> {
  const [newest] = await store.generations();
  if (!newest) throw lost();
  checkIdentity(newest.state.identity, identity);
  return newest.state;
}

/** Brings the trainer to the newest checkpoint that is whole. @throws CheckpointLostError where none is. */
export async function restoreCheckpoint(
  store: CheckpointStore,
  trainer: SnapshotTrainer,
  validation: Validation | null,
  adapter: string,
): Promise<Restored> {
  const notes: string[] = [];
  for (const { step, pages, state } of await store.generations()) {
    try {
      // All of it before any of it is used: a trainer that is half restored is good for nothing.
      for (const page of pages) await store.read(page, true);
    } catch (error) {
      if (!(error instanceof PageDamagedError)) throw error;
      notes.push(`The checkpoint of step ${step} is damaged: it goes on from the one before.`);
      continue;
    }
    await trainer.restore(state.trainer, restoredPages(store, trainer, pages));
    const best = pages.find(({ page }) => page === BEST);
    if (state.validation) validation?.restore(state.validation, best ? await store.read(best) : null);
    if (state.pinned.adapter !== adapter) {
      notes.push(
        `The run was started on ${state.pinned.adapter}; on ${adapter} its figures may differ in their last digits.`,
      );
    }
    return { step, checkpoint: state, notes };
  }
  throw lost();
}

/** Where moments are paged they stay in the store, however many there are; else they are read. */
async function* restoredPages(
  store: CheckpointStore,
  { paging }: SnapshotTrainer,
  pages: Generation['pages'],
): AsyncGenerator<RestoredPage> {
  for (const version of pages) {
    const { page } = version;
    if (page === BEST || isDataPage(version)) continue;
    if (paging === null || page.startsWith(PARAMETERS)) {
      yield { page, bytes: await store.read(version), version: null };
    } else {
      store.retain([version]);
      yield { page, bytes: null, version };
    }
  }
}

const lost = () =>
  new CheckpointLostError(
    'There is no whole checkpoint to resume from: it was evicted, deleted or damaged. Start the run again; its settings are kept.',
  );
