import { createParityWorker } from '../../state/create_parity_worker.ts';
import type { Command, WorkerEvent } from '../../worker/protocol.ts';
import type { ParityView } from './parity_report.ts';

const CASE = new URL('case/', document.baseURI).href;

let runs = 0;

/** Runs the built-in case in a worker of its own, so that a run that hung does not stand in the way; returns its end. */
export function startParityTest(view: ParityView): () => void {
  const runId = `case-${++runs}`;
  view.reset();
  void showReference(view);
  const worker = createParityWorker();
  worker.addEventListener('message', ({ data }: MessageEvent<WorkerEvent>) => view.show(data));
  worker.addEventListener('error', ({ message }) => {
    view.show({ type: 'failed', runId, name: 'WorkerError', message: message || 'The worker could not be started.' });
  });
  const command: Command = { type: 'parity', runId, base: { kind: 'http', url: CASE } };
  worker.postMessage(command);
  return () => worker.terminate();
}

/** PyTorch's losses, to draw beside ours as they come; the worker does the comparing. */
async function showReference(view: ParityView): Promise<void> {
  const response = await fetch(new URL('expected/expected.json', CASE)).catch(() => null);
  if (!response?.ok) return;
  const { steps } = (await response.json()) as { steps: { loss: number }[] };
  view.setReference(steps.map(({ loss }) => loss));
}
