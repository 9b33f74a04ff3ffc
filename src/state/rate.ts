/** How fast a long job goes, over its last seconds. */

const WINDOW_MS = 8_000;

export class RateMeter {
  #samples: { readonly at: number; readonly amount: number }[] = [];

  /** `amount` is the total so far, `now` in milliseconds. */
  add(amount: number, now: number): void {
    this.#samples.push({ at: now, amount });
    while (this.#samples.length > 2 && now - this.#samples[0]!.at > WINDOW_MS) this.#samples.shift();
  }

  /** After a pause the time before it does not count. */
  reset(): void {
    this.#samples = [];
  }

  /** Amount a second; null until there is enough to say. */
  perSecond(): number | null {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.at - first.at < 400) return null;
    return ((last.amount - first.amount) * 1000) / (last.at - first.at);
  }

  secondsLeft(total: number): number | null {
    const rate = this.perSecond();
    const last = this.#samples.at(-1);
    return rate && last ? Math.max(0, total - last.amount) / rate : null;
  }
}
