/** What paging costs while a run goes on: figures a step, and how much a disk is written. */
import type { PagingFigures } from './moments.ts';

/** Bytes and milliseconds; traffic a step, of the steps since the figures before. */
export interface PagingRates {
  readonly residentBytes: number;
  readonly hostBytes: number;
  readonly storedBytes: number;
  readonly bytesInPerStep: number;
  readonly bytesOutPerStep: number;
  readonly stallMsPerStep: number;
  /** Since the run began. */
  readonly storeWrittenBytes: number;
  readonly storeWrittenPerHour: number;
}

export class PagingMeter {
  readonly #started: number;
  #before: PagingFigures | null = null;

  /** @param now milliseconds of any clock */
  constructor(now: number) {
    this.#started = now;
  }

  /** After so many more steps. */
  rates(figures: PagingFigures, steps: number, now: number): PagingRates {
    const before = this.#before ?? { ...figures, bytesIn: 0, bytesOut: 0, stallMs: 0 };
    this.#before = figures;
    const each = Math.max(1, steps);
    const hours = Math.max(now - this.#started, 1) / 3.6e6;
    return {
      residentBytes: figures.residentBytes,
      hostBytes: figures.hostBytes,
      storedBytes: figures.storedBytes,
      bytesInPerStep: (figures.bytesIn - before.bytesIn) / each,
      bytesOutPerStep: (figures.bytesOut - before.bytesOut) / each,
      stallMsPerStep: (figures.stallMs - before.stallMs) / each,
      storeWrittenBytes: figures.storeWritten,
      storeWrittenPerHour: figures.storeWritten / hours,
    };
  }
}
