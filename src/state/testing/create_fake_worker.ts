/**
 * Stands in for ../create_worker.ts in Vite's `demo` mode (`npx vite --mode demo`). The address tunes it:
 * `?demo-ui&speed=20&steps=200` (steps a second at speed 1), `?demo-ui&gpu=none`.
 */
import type { StudioWorker } from '../studio_client.ts';
import { FakeWorker } from './fake_worker.ts';

export function createStudioWorker(): StudioWorker {
  const wanted = new URLSearchParams(location.search);
  return new FakeWorker({
    speed: Number(wanted.get('speed') ?? 1),
    stepsPerSecond: Number(wanted.get('steps') ?? 4),
    gpu: wanted.get('gpu') !== 'none',
  });
}
