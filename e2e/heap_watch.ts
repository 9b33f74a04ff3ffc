/** What JavaScript holds while something runs, told by the browser's own figures. */
import type { CDPSession, Page } from 'playwright';

interface HeapUsage {
  readonly usedSize: number;
  readonly embedderHeapUsedSize?: number;
  /** Array buffers: where weights pass through. */
  readonly backingStorageSize?: number;
}

const total = ({ usedSize, embedderHeapUsedSize = 0, backingStorageSize = 0 }: HeapUsage) =>
  usedSize + embedderHeapUsedSize + backingStorageSize;

/** JavaScript heap and array buffers of the page and its workers together, bytes; the largest sum seen. */
export class HeapWatch {
  readonly #session: CDPSession;
  readonly #workers = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #page = 0;
  peak = 0;

  private constructor(session: CDPSession) {
    this.#session = session;
    session.on('Target.attachedToTarget', ({ sessionId }) => this.#workers.set(sessionId, 0));
    session.on('Target.detachedFromTarget', ({ sessionId }) => this.#workers.delete(sessionId));
    session.on('Target.receivedMessageFromTarget', ({ sessionId, message }) => {
      const { result } = JSON.parse(message) as { result?: HeapUsage };
      if (result && 'usedSize' in result) this.#workers.set(sessionId, total(result));
    });
    this.#timer = setInterval(() => void this.#look(), 100);
  }

  /** Before the page starts its workers. */
  static async start(page: Page): Promise<HeapWatch> {
    const session = await page.context().newCDPSession(page);
    const watch = new HeapWatch(session);
    await session.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
    return watch;
  }

  async #look(): Promise<void> {
    const message = JSON.stringify({ id: 1, method: 'Runtime.getHeapUsage' });
    for (const sessionId of this.#workers.keys()) {
      await this.#session.send('Target.sendMessageToTarget', { sessionId, message }).catch(() => undefined);
    }
    this.#page = await this.#session.send('Runtime.getHeapUsage').then(total, () => this.#page);
    this.peak = Math.max(
      this.peak,
      [...this.#workers.values()].reduce((a, b) => a + b, this.#page),
    );
  }

  stop(): { peakHeapBytes: number; workers: number } {
    clearInterval(this.#timer);
    return { peakHeapBytes: this.peak, workers: this.#workers.size };
  }
}
