/** How long the GPU has had nothing to do because bytes were not there. */
export class IdleClock {
  readonly #device: GPUDevice;
  /** Milliseconds so far. */
  milliseconds = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Waits for `what`; the time after everything submitted before is done counts. */
  async during<T>(what: Promise<T>): Promise<T> {
    let idleSince: number | null = null;
    let over = false;
    const idle = () => {
      if (!over) idleSince = performance.now();
    };
    this.#device.queue.onSubmittedWorkDone().then(idle, () => undefined);
    try {
      return await what;
    } finally {
      over = true;
      if (idleSince !== null) this.milliseconds += performance.now() - idleSince;
    }
  }
}
