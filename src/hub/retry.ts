/** Bounded retries with exponential back-off and jitter. */

export interface RetryNotice {
  /** 1 for the first retry. */
  readonly attempt: number;
  /** Until the next try. */
  readonly seconds: number;
  readonly reason: string;
}

export interface RetryPolicy {
  /** Retries in a row without progress before giving up. */
  readonly attempts: number;
  /** Before the first retry; doubled for each further one. */
  readonly baseSeconds: number;
  readonly maxSeconds: number;
  /** The longest Retry-After that is waited for. */
  readonly patienceSeconds: number;
  /** A connection that sends nothing for so long counts as cut. */
  readonly stallSeconds: number;
  /** [0, 1) */
  readonly random: () => number;
  readonly sleep: (seconds: number, signal: AbortSignal) => Promise<void>;
}

/** About half a minute in all: longer than a change of network, shorter than a user's patience. */
export const DEFAULT_RETRY: RetryPolicy = {
  attempts: 6,
  baseSeconds: 0.5,
  maxSeconds: 20,
  patienceSeconds: 310,
  stallSeconds: 30,
  random: Math.random,
  sleep: (seconds, signal) =>
    new Promise((resolve, reject) => {
      const abort = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', abort);
        resolve();
      }, seconds * 1000);
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
    }),
};

/** A request that failed and may be tried again. */
export interface Failure {
  /** For the user: "the connection was cut". */
  readonly reason: string;
  /** Thrown when the attempts are used up. */
  readonly error: Error;
  /** What the server asked for. */
  readonly afterSeconds?: number | null;
  /** Nothing is overloaded: the first retry need not wait. */
  readonly atOnce?: boolean;
}

/** Counts the failures of one piece of work and waits between its attempts. */
export class Retries {
  #attempt = 0;
  readonly #policy: RetryPolicy;
  readonly #onRetry: (notice: RetryNotice) => void;
  readonly #signal: AbortSignal;

  constructor(policy: RetryPolicy, onRetry: (notice: RetryNotice) => void, signal: AbortSignal) {
    this.#policy = policy;
    this.#onRetry = onRetry;
    this.#signal = signal;
  }

  /** There was progress: the next failure is a first one. */
  reset(): void {
    this.#attempt = 0;
  }

  /** Returns when it is time to try again; throws the failure's error when that is no use. */
  async after(failure: Failure): Promise<void> {
    this.#signal.throwIfAborted();
    const { attempts, patienceSeconds, random, sleep } = this.#policy;
    this.#attempt += 1;
    const asked = failure.afterSeconds ?? null;
    if (this.#attempt > attempts || (asked !== null && asked > patienceSeconds)) throw failure.error;
    // A second spread over, so that all who were sent away do not come back together.
    const seconds =
      asked !== null ? asked + random() : failure.atOnce && this.#attempt === 1 ? 0 : this.#backOff(this.#attempt);
    this.#onRetry({ attempt: this.#attempt, seconds, reason: failure.reason });
    await sleep(seconds, this.#signal);
  }

  #backOff(attempt: number): number {
    const { baseSeconds, maxSeconds, random } = this.#policy;
    return Math.min(maxSeconds, baseSeconds * 2 ** (attempt - 1)) * (0.5 + random() / 2);
  }
}

/** Seconds that a 429 or 503 asks to wait, from Retry-After (RFC 9110 §10.2.3) or the Hub's `RateLimit: …;t=`. */
export function retryAfterSeconds(headers: Headers, now = Date.now()): number | null {
  const value = headers.get('retry-after')?.trim();
  if (value && /^\d+$/.test(value)) return Number(value);
  const date = value ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(date)) return Math.max(0, (date - now) / 1000);
  const reset = /;\s*t=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1];
  return reset === undefined ? null : Number(reset);
}
