/** A part of a prepared dataset in the order of a plan: its batches, with their tokens. */
import type { Example, MicroBatch } from './batch.ts';
import { type BatchingConfig, type BatchPlan, planBatches } from './batching.ts';
import type { PreparedDataset } from './prepare.ts';

/** Some examples of a dataset, numbered from 0 among themselves. */
export interface DatasetPart {
  readonly lengths: Uint32Array;
  load(example: number): Promise<Example>;
}

/** The examples with these numbers. */
export function partOf({ lengths, load }: PreparedDataset, numbers: Uint32Array): DatasetPart {
  return { lengths: numbers.map((number) => lengths[number]), load: (example) => load(numbers[example]) };
}

export interface Batches {
  readonly plan: BatchPlan;
  /** The micro-batches of optimizer step `step`, from 0. */
  window(step: number): Promise<readonly MicroBatch[]>;
  /** The micro-batches of one epoch, fetched one after the other. */
  epoch(epoch: number): AsyncGenerator<MicroBatch>;
}

/** @throws RangeError when the part is empty */
export function batchesOf({ lengths, load }: DatasetPart, config: BatchingConfig): Batches {
  const plan = planBatches(lengths, config);
  const fetch = (batch: readonly (readonly number[])[]): Promise<MicroBatch> =>
    Promise.all(batch.map((row) => Promise.all(row.map(load))));
  return {
    plan,
    window: (step) => Promise.all(plan.window(step).map(fetch)),
    async *epoch(epoch) {
      for (const batch of plan.epoch(epoch)) yield await fetch(batch);
    },
  };
}
