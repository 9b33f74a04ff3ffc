/**
 * How long this device takes for each kind of dispatch, as measured, and into how many parts one must be cut for that: an
 * operating system resets a GPU that works on one thing for about two seconds, and a page stutters long before.
 */

/** What no dispatch and no submit may take, in milliseconds. */
export const DISPATCH_LIMIT_MS = 100;
export const SUBMIT_LIMIT_MS = 500;

/** A dispatch that is expected to take longer is cut, into parts of about PART_MS: a busy GPU takes two or three times as long. */
const LONG_MS = 60;
const PART_MS = 30;
/** Submits are filled so far. */
export const SUBMIT_MS = 200;
/** Below it an estimate from few workgroups is good enough: the whole takes less, since workgroups run side by side. */
const SHORT_MS = 25;

/** Operations that any device does in well under a second's tenth. */
const FEW_OPERATIONS = 1e7;
/** How much slower than the fastest seen a kernel's operations may be: one that only moves data against a matmul. */
const SLOWEST = 32;
/** Operations from which a time says what the device can do, and not what starting costs. */
const ENOUGH_OPERATIONS = 1e6;

const MOST_PARTS = 256;
/** Measurements before a dispatch is believed to be long: the first may have waited for a compiler. */
const ENOUGH_SAMPLES = 4;

/** Times as long as expected: late; and the most that is believed at once. */
const LATE = 2;
const MOST_LATE = 4;

/** A dispatch before it is run. */
export interface Job {
  /** The same for dispatches that take equally long for equal work. */
  readonly key: string;
  /** Floating-point operations as the plan counts them; workgroups where it does not. */
  readonly work: number;
  readonly counted: boolean;
  readonly workgroups: number;
}

/** A submit, with times in milliseconds of one clock. */
export interface SubmittedWork {
  readonly submitted: number;
  readonly done: number;
  /** As its jobs were expected to take. */
  readonly expected: number;
  readonly keys: Iterable<string>;
}

export interface Pace {
  readonly parts: number;
  /** Milliseconds of each part, as far as is known. */
  readonly partMs: number;
  /** Nothing nearly as large was measured: each part is to run alone, timed. */
  readonly timed: boolean;
}

interface Known {
  msPerWork: number;
  /** The most work that was measured at once, and how often something was. */
  largest: number;
  samples: number;
}

export class Pacing {
  readonly #known = new Map<string, Known>();
  /** Operations a millisecond, the most seen. */
  #rate = 0;
  #forced: number | null = null;
  #lastDone = 0;
  #wasLate = false;

  /** Every dispatch is cut into so many parts from now on: for tests. */
  force(parts: number | null): void {
    this.#forced = parts;
  }

  /**
   * A part of a job, or all of it, took so long. More work at once says more: it stands against what less work said.
   * Otherwise half of the news is believed: a driver may compile what it runs for the first time, and other programs use
   * the GPU too.
   */
  record({ key, counted }: Pick<Job, 'key' | 'counted'>, work: number, ms: number): void {
    const known = this.#known.get(key);
    if (!known) this.#known.set(key, { msPerWork: ms / work, largest: work, samples: 1 });
    else {
      const msPerWork = ms / work;
      if (work > known.largest) known.msPerWork = msPerWork;
      else if (work > known.largest / 2 || msPerWork < known.msPerWork)
        known.msPerWork += (msPerWork - known.msPerWork) / 2;
      known.largest = Math.max(known.largest, work);
      known.samples++;
    }
    if (counted && work >= ENOUGH_OPERATIONS) this.#rate = Math.max(this.#rate, work / ms);
  }

  /**
   * Submitted work is done. Batches differ, documents may be longer, a GPU gets hot: where it took much longer than
   * expected, twice in a row (once may be the page's own delay), its jobs are expected to take longer from then on.
   */
  finished({ submitted, done, expected, keys }: SubmittedWork): void {
    const elapsed = done - Math.max(submitted, this.#lastDone);
    this.#lastDone = done;
    const late = elapsed > DISPATCH_LIMIT_MS && elapsed > LATE * expected;
    if (late && this.#wasLate) {
      const factor = Math.min(MOST_LATE, elapsed / Math.max(expected, 1));
      for (const key of keys) {
        const known = this.#known.get(key);
        if (known) known.msPerWork *= factor;
      }
    }
    this.#wasLate = late;
  }

  /** Milliseconds, as far as is known; more than it will be where only few workgroups were measured. */
  expected({ key, work }: Job): number | null {
    const known = this.#known.get(key);
    return known ? known.msPerWork * work : null;
  }

  /** Nothing is known of this job, and it may pass the limit: try some workgroups of it first. */
  mustProbe(job: Job): boolean {
    return this.#forced === null && !this.#known.has(job.key) && this.#atMost(job) > DISPATCH_LIMIT_MS;
  }

  /** Whether so short a time of a few workgroups lets eight times as many be tried. */
  mayProbeMore(ms: number): boolean {
    return 8 * ms <= PART_MS;
  }

  pace(job: Job): Pace {
    if (this.#forced !== null) return { parts: this.#forced, partMs: 0, timed: false };
    const known = this.#known.get(job.key);
    const ms = this.expected(job) ?? this.#atMost(job);
    const parts = ms <= LONG_MS ? 1 : Math.min(MOST_PARTS, job.workgroups, Math.ceil(ms / PART_MS));
    const unsure = !known || (ms > SHORT_MS && known.largest < (0.5 * job.work) / parts);
    const timed = unsure || (parts > 1 && known.samples < ENOUGH_SAMPLES);
    return { parts, partMs: Math.min(ms, DISPATCH_LIMIT_MS * MOST_PARTS) / parts, timed };
  }

  #atMost({ work, counted }: Job): number {
    if (!counted || work <= FEW_OPERATIONS) return 0;
    return this.#rate > 0 ? (SLOWEST * work) / this.#rate : Number.POSITIVE_INFINITY;
  }
}
