/** Encodes dispatches into passes and submits them in portions that the device does in a fraction of a second. */
import type { Gpu } from '../device/gpu.ts';
import { SUBMIT_MS } from './pacing.ts';
import { type EncodedDispatch, encodeDispatch } from './profile.ts';
import { PassTimestamps } from './timestamps.ts';

/**
 * Dispatches in the first portion; each further one holds so many times more: a GPU that waits for work gets some at
 * once, and goes on with it while the rest is encoded.
 */
const FIRST_PORTION = 32;
const PORTION_GROWTH = 4;

export class Submitter {
  readonly #gpu: Gpu;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  /** Of what is encoded and not submitted. */
  #ms = 0;
  #keys = new Set<string>();
  #dispatches = 0;
  #portion = FIRST_PORTION;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Appends a dispatch that is expected to take `ms`. */
  add(dispatch: EncodedDispatch, key: string, ms: number): void {
    if (this.#pass && (this.#ms + ms > SUBMIT_MS || this.#dispatches >= this.#portion)) this.flush();
    if (!this.#pass) {
      this.#encoder = this.#gpu.device.createCommandEncoder();
      this.#pass = this.#encoder.beginComputePass();
    }
    encodeDispatch(this.#pass, dispatch);
    this.#ms += ms;
    this.#keys.add(key);
    this.#dispatches++;
  }

  /** Submits what was appended. Waits for nothing. */
  flush(): void {
    if (!this.#pass || !this.#encoder) return;
    const { device, pacing } = this.#gpu;
    this.#pass.end();
    device.queue.submit([this.#encoder.finish()]);
    const watched = { submitted: performance.now(), expected: this.#ms, keys: this.#keys };
    void device.queue.onSubmittedWorkDone().then(() => pacing.finished({ ...watched, done: performance.now() }));
    this.#encoder = null;
    this.#pass = null;
    this.#ms = 0;
    this.#keys = new Set();
    this.#dispatches = 0;
    this.#portion *= PORTION_GROWTH;
  }

  /** Runs one dispatch alone and waits for it. Milliseconds, by the GPU's timestamps where it has them. */
  async time(dispatch: EncodedDispatch): Promise<number> {
    this.flush();
    const { device } = this.#gpu;
    const timestamps = device.features.has('timestamp-query') ? new PassTimestamps(this.#gpu, 1) : null;
    try {
      // The clock starts when the GPU has nothing else to do.
      if (!timestamps) await device.queue.onSubmittedWorkDone();
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass(timestamps ? { timestampWrites: timestamps.writes(0) } : {});
      encodeDispatch(pass, dispatch);
      pass.end();
      const started = performance.now();
      device.queue.submit([encoder.finish()]);
      if (!timestamps) {
        await device.queue.onSubmittedWorkDone();
        return performance.now() - started;
      }
      const [{ begin, end }] = await timestamps.read();
      // In a page they are rounded to such steps.
      return Math.max(0.1, end - begin);
    } finally {
      timestamps?.dispose();
    }
  }
}
