/** What a run shows while it works: one redrawn line on a terminal, a line now and then in a log. */

export interface StepProgress {
  readonly step: number;
  readonly totalSteps: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly tokensPerSecond: number;
}

type Output = Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>;

const REDRAW_MS = 100;
const LOADING_LINE_MS = 5000;
const BAR_CELLS = 20;
/** Lines that a run leaves in a log that is no terminal. */
const LOG_LINES = 20;

export class Progress {
  readonly #output: Output;
  readonly #started = performance.now();
  #firstStep: number | null = null;
  #drawn = 0;
  #line = '';

  constructor(output: Output = process.stderr) {
    this.#output = output;
  }

  /** A lasting line; the progress line moves below it. */
  note(text: string): void {
    this.#clear();
    this.#output.write(`${text}\n`);
    if (this.#line) this.#output.write(this.#line);
  }

  loading(loadedBytes: number, totalBytes: number): void {
    const complete = loadedBytes >= totalBytes;
    const share = totalBytes > 0 ? loadedBytes / totalBytes : 1;
    const text = `loading ${bar(share)} ${megabytes(loadedBytes)} of ${megabytes(totalBytes)}`;
    if (this.#output.isTTY) this.#draw(text, complete);
    else if (this.#due(complete ? 0 : LOADING_LINE_MS)) this.#output.write(`${text}\n`);
  }

  step(progress: StepProgress): void {
    const { step, totalSteps } = progress;
    // The first step compiles and warms up: it says nothing about the rest.
    this.#firstStep ??= performance.now();
    const text = stepLine(
      progress,
      step > 1 ? ((performance.now() - this.#firstStep) / (step - 1)) * (totalSteps - step) : null,
    );
    const last = step === totalSteps;
    if (this.#output.isTTY) this.#draw(text, last);
    else if (last || step === 1 || step % Math.max(1, Math.round(totalSteps / LOG_LINES)) === 0) {
      this.#output.write(`${text}\n`);
    }
  }

  /** Leaves the last line where it is. */
  end(): void {
    if (this.#line) this.#output.write('\n');
    this.#line = '';
  }

  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  #draw(text: string, force: boolean): void {
    if (!this.#due(force ? 0 : REDRAW_MS)) return;
    this.#clear();
    this.#line = text.slice(0, Math.max(20, (this.#output.columns ?? 80) - 1));
    this.#output.write(this.#line);
  }

  #due(milliseconds: number): boolean {
    const now = performance.now();
    if (milliseconds > 0 && now - this.#drawn < milliseconds) return false;
    this.#drawn = now;
    return true;
  }

  #clear(): void {
    if (this.#line) this.#output.write('\r\x1b[2K');
  }
}

/** `remaining` in milliseconds. */
export function stepLine(progress: StepProgress, remaining: number | null): string {
  const { step, totalSteps, loss, learningRate, tokensPerSecond } = progress;
  const width = String(totalSteps).length;
  return [
    `step ${String(step).padStart(width)}/${totalSteps} ${bar(step / totalSteps)}`,
    `loss ${loss.toFixed(4)}`,
    `lr ${learningRate.toExponential(2)}`,
    `${Math.round(tokensPerSecond).toLocaleString('en')} tok/s`,
    ...(remaining === null || step === totalSteps ? [] : [`${duration(remaining)} left`]),
  ].join('  ');
}

function bar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * BAR_CELLS);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR_CELLS - full)}]`;
}

export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, '0'))).join(':');
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
