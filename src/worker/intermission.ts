/** Work that waits for a training run's next pause between two steps: trying the adapter as it stands. */

export class RunEndedError extends Error {
  override name = 'RunEndedError';
}

interface Asked<Stage> {
  readonly work: (stage: Stage) => Promise<void>;
  readonly reject: (error: Error) => void;
}

export class Intermission<Stage> {
  #asked: Asked<Stage>[] = [];
  #wake: (() => void)[] = [];
  #closed = false;

  /** Runs `work` between two steps. Rejects with RunEndedError when the run ends before. */
  ask<T>(work: (stage: Stage) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(ended());
    return new Promise((resolve, reject) => {
      this.#asked.push({ work: (stage) => work(stage).then(resolve, reject), reject });
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  /** Resolves when something is asked. */
  asked(): Promise<void> {
    if (this.#asked.length > 0) return Promise.resolve();
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  /** Does all that was asked. */
  async serve(stage: Stage): Promise<void> {
    for (let next = this.#asked.shift(); next; next = this.#asked.shift()) await next.work(stage);
  }

  close(): void {
    this.#closed = true;
    for (const { reject } of this.#asked.splice(0)) reject(ended());
  }
}

const ended = () => new RunEndedError('The run ended before there was time for it. Ask again.');
