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

interface Told {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly sessionId: string; readonly message?: string };
  readonly result?: HeapUsage;
}

/** Workers that are started from now on, and theirs. */
const ATTACH = { autoAttach: true, waitForDebuggerOnStart: false, flatten: false };

/**
 * JavaScript heap and array buffers of the page and its workers together, those that workers start too, bytes; the largest sum seen. It
 * counts what is not collected yet.
 */
export class HeapWatch {
  readonly #session: CDPSession;
  /** By the sessions that lead to it, the page's own first. */
  readonly #workers = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #page = 0;
  #most = 0;
  peak = 0;

  private constructor(session: CDPSession) {
    this.#session = session;
    session.on('Target.attachedToTarget', ({ sessionId }) => void this.#attached([sessionId]));
    session.on('Target.detachedFromTarget', ({ sessionId }) => this.#detached(sessionId));
    session.on('Target.receivedMessageFromTarget', ({ sessionId, message }) => this.#receive([sessionId], message));
    this.#timer = setInterval(() => void this.#look(), 100);
  }

  /** Before the page starts its workers. */
  static async start(page: Page): Promise<HeapWatch> {
    const session = await page.context().newCDPSession(page);
    const watch = new HeapWatch(session);
    await session.send('Target.setAutoAttach', ATTACH);
    return watch;
  }

  async #attached(path: readonly string[]): Promise<void> {
    this.#workers.set(path.join(' '), 0);
    this.#most = Math.max(this.#most, this.#workers.size);
    await this.#send(path, { id: 2, method: 'Target.setAutoAttach', params: ATTACH });
  }

  #detached(sessionId: string): void {
    for (const path of this.#workers.keys()) if (path.split(' ').includes(sessionId)) this.#workers.delete(path);
  }

  #receive(path: readonly string[], text: string): void {
    const { method, params, result } = JSON.parse(text) as Told;
    if (result && 'usedSize' in result && this.#workers.has(path.join(' '))) {
      this.#workers.set(path.join(' '), total(result));
    }
    if (!params) return;
    const inner = [...path, params.sessionId];
    if (method === 'Target.attachedToTarget') void this.#attached(inner);
    if (method === 'Target.detachedFromTarget') this.#detached(params.sessionId);
    if (method === 'Target.receivedMessageFromTarget' && params.message) this.#receive(inner, params.message);
  }

  /** To a worker: wrapped once for each worker that it was started by. */
  async #send(path: readonly string[], command: object): Promise<void> {
    const [first, ...others] = path;
    const message = others.reduceRight(
      (inner, sessionId) =>
        JSON.stringify({ id: 3, method: 'Target.sendMessageToTarget', params: { sessionId, message: inner } }),
      JSON.stringify(command),
    );
    await this.#session.send('Target.sendMessageToTarget', { sessionId: first, message }).catch(() => undefined);
  }

  async #look(): Promise<void> {
    for (const path of this.#workers.keys()) {
      await this.#send(path.split(' '), { id: 1, method: 'Runtime.getHeapUsage' });
    }
    this.#page = await this.#session.send('Runtime.getHeapUsage').then(total, () => this.#page);
    this.peak = Math.max(this.peak, this.now);
  }

  get now(): number {
    return [...this.#workers.values()].reduce((a, b) => a + b, this.#page);
  }

  stop(): { peakHeapBytes: number; workers: number } {
    clearInterval(this.#timer);
    return { peakHeapBytes: this.peak, workers: this.#most };
  }
}
