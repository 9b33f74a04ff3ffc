/** The page's end of the wire: starts the worker on the first command, and hands what it says to whoever listens. */
import type { StudioCommand, StudioEvent } from '../worker/studio_protocol.ts';

/** The part of a Worker that is used here, so that a test can play one. */
export interface StudioWorker {
  onmessage: ((event: MessageEvent<StudioEvent>) => unknown) | null;
  onerror: ((event: ErrorEvent) => unknown) | null;
  postMessage(command: StudioCommand): void;
  terminate(): void;
}

/** What the worker says, and that it died: then everything it held is gone. */
export type StudioSignal = StudioEvent | { type: 'crashed'; message: string };

export type StudioListener = (signal: StudioSignal) => void;

export class StudioClient {
  readonly #listeners = new Set<StudioListener>();
  #createWorker: () => StudioWorker = () => {
    throw new Error('StudioClient has no worker: call connect first.');
  };
  #worker: StudioWorker | null = null;
  #runs = 0;

  connect(createWorker: () => StudioWorker): void {
    this.disconnect();
    this.#createWorker = createWorker;
  }

  /** Ends the worker; the next command starts a fresh one. */
  disconnect(): void {
    this.#worker?.terminate();
    this.#worker = null;
  }

  /** A runId of its own for each piece of work. */
  newRunId(kind: StudioCommand['type']): string {
    return `${kind}-${++this.#runs}`;
  }

  send(command: StudioCommand): void {
    this.#worker ??= this.#open();
    this.#worker.postMessage(command);
  }

  listen(listener: StudioListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #open(): StudioWorker {
    const worker = this.#createWorker();
    worker.onmessage = ({ data }) => this.#emit(data);
    worker.onerror = ({ message }) => {
      this.disconnect();
      this.#emit({ type: 'crashed', message: message || 'The worker could not be started.' });
    };
    return worker;
  }

  #emit(signal: StudioSignal): void {
    for (const listener of this.#listeners) listener(signal);
  }
}

export const studioClient = new StudioClient();
