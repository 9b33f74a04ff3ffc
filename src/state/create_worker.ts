import type { StudioWorker } from './studio_client.ts';

/** The real worker. In Vite's `demo` mode testing/create_fake_worker.ts stands in for this file (vite.config.ts). */
export function createStudioWorker(): StudioWorker {
  return new Worker(new URL('../worker/studio_worker.ts', import.meta.url), { type: 'module' });
}
