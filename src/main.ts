/** The page's entry: starts the worker on the built-in case and shows what comes back. */
import './ui/start_page.css';
import { StartPage } from './ui/start_page.ts';
import type { Command, WorkerEvent } from './worker/protocol.ts';

const CASE = new URL('case/', document.baseURI).href;

const page = new StartPage(() => start());
document.body.append(page.element);
let runs = 0;
let worker: Worker | null = null;

function start(): void {
  const runId = `case-${++runs}`;
  page.reset();
  if (!navigator.gpu) {
    page.noWebGpu(globalThis.isSecureContext);
    return;
  }
  void showReference();
  worker?.terminate();
  // A worker of its own for each run: a run that hung does not stand in the way of the next.
  worker = new Worker(new URL('./worker/browser_worker.ts', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<WorkerEvent>) => page.show(data));
  worker.addEventListener('error', ({ message }) => {
    page.show({ type: 'failed', runId, name: 'WorkerError', message: message || 'The worker could not be started.' });
  });
  const command: Command = { type: 'parity', runId, base: { kind: 'http', url: CASE } };
  worker.postMessage(command);
}

/** PyTorch's losses, to draw beside ours as they come; the worker does the comparing. */
async function showReference(): Promise<void> {
  const response = await fetch(new URL('expected/expected.json', CASE)).catch(() => null);
  if (!response?.ok) return;
  const { steps } = (await response.json()) as { steps: { loss: number }[] };
  page.setReference(steps.map(({ loss }) => loss));
}

start();
