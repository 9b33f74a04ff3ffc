/** Long work gives the event loop a turn now and then, so that an abort, or a question, posted to this thread is seen. */

const SLICE_MS = 50;
/** Looking at the clock costs more than reading a short row. */
const LOOKS = 16;

export class Turns {
  readonly #signal: AbortSignal | undefined;
  #since = performance.now();
  #looks = 0;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Whether the last turn is long enough ago. */
  get due(): boolean {
    return ++this.#looks % LOOKS === 0 && performance.now() - this.#since > SLICE_MS;
  }

  /** @throws the signal's reason when aborted */
  async take(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve));
    this.#signal?.throwIfAborted();
    this.#since = performance.now();
  }
}
