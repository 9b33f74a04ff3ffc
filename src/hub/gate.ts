/** What a download asks before every request and after every chunk: may it go on? */
export interface Gate {
  readonly paused: boolean;
  /** Resolves at once when the gate is open, else when it opens. */
  wait(): Promise<void>;
}

/** A gate that a user opens and shuts. Pausing loses nothing: a download goes on at the byte it had reached. */
export class PauseGate implements Gate {
  #waiting: (() => void)[] = [];
  #paused = false;

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  async wait(): Promise<void> {
    // A loop, because it may have been shut again before the waiter ran.
    while (this.#paused) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** For downloads that nobody pauses. */
export const OPEN_GATE: Gate = { paused: false, wait: async () => undefined };

/** Waits for the gate, but not longer than `signal`; rejects with its reason. */
export async function waitForGate(gate: Gate, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (!gate.paused) return;
  let abort: (() => void) | undefined;
  try {
    await Promise.race([
      gate.wait(),
      new Promise<never>((_, reject) => {
        abort = () => reject(signal.reason);
        signal.addEventListener('abort', abort);
      }),
    ]);
  } finally {
    if (abort) signal.removeEventListener('abort', abort);
  }
}
