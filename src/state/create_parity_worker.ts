/** A worker for golden cases: the command line's, which knows how to compare. */
export function createParityWorker(): Worker {
  return new Worker(new URL('../worker/browser_worker.ts', import.meta.url), { type: 'module' });
}
