/** The page behind `--runtime chromium`: passes commands to the worker and its events to the command line. */
import type { Command, WorkerEvent } from '../worker/protocol.ts';

/** An event as JSON can carry it, and the paths of the files that go with it: their bytes go by upload. */
export type Relay = (event: WorkerEvent, paths: readonly string[]) => void | Promise<void>;

declare global {
  /** Put here by the command line. */
  var nibbleRelay: Relay | undefined;
  var nibblePost: ((command: Command) => void) | undefined;
}

/** The command line's address for uploads. */
const uploads = location.hash.slice(1);
const worker = new Worker(new URL('../worker/browser_worker.ts', import.meta.url), { type: 'module' });
let runId = '';
let relayed: Promise<void> = Promise.resolve();

/** One after the other, in order. */
function relay(event: WorkerEvent): void {
  relayed = relayed.then(async () => {
    if (event.type !== 'finished' && event.type !== 'failed') return globalThis.nibbleRelay?.(event, []);
    const files = event.files ?? [];
    for (const { path, bytes } of files) await upload(`${event.runId}/${path}`, bytes);
    await globalThis.nibbleRelay?.(
      { ...event, files: [] },
      files.map(({ path }) => path),
    );
  });
}

async function upload(path: string, body: Uint8Array<ArrayBuffer>): Promise<void> {
  const response = await fetch(uploads + path, { method: 'PUT', body });
  if (!response.ok) throw new Error(`${path} was not taken: ${response.status}`);
}

worker.addEventListener('message', ({ data }: MessageEvent<WorkerEvent>) => relay(data));
worker.addEventListener('error', (event) => {
  relay({ type: 'failed', runId, name: 'WorkerError', message: event.message || 'The worker could not be started.' });
});

globalThis.nibblePost = (command) => {
  runId = command.runId;
  worker.postMessage(command);
};
