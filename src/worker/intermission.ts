/** Work that waits for a training run's next pause between two steps: trying the adapter as it stands. */

interface Asked<Stage> {
  readonly work: (stage: Stage) => Promise<void>;
  readonly runEnded: () => void;
}

export class Intermission<Stage> {
  #asked: Asked<Stage>[] = [];
  #wake: (() => void)[] = [];
  #closed = false;

  /** Runs `work` between two steps, and is true then; false when the run ends before. Rejects as `work` does. */
  ask(work: (stage: Stage) => Promise<void>): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    return new Promise((resolve, reject) => {
      this.#asked.push({
        work: (stage) => work(stage).then(() => resolve(true), reject),
        runEnded: () => resolve(false),
      });
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
    for (const { runEnded } of this.#asked.splice(0)) runEnded();
  }
}
