/** A Web Worker for chat templates, from within a worker or a page. */
import type { CreateTemplateWorker, TemplateReply } from './template_protocol.ts';

export const createBrowserTemplateWorker: CreateTemplateWorker = (onReply, onFailure) => {
  const worker = new Worker(new URL('./template_worker.ts', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<TemplateReply>) => onReply(data));
  worker.addEventListener('error', (event) => onFailure(event.message || 'it could not be started'));
  return { post: (request) => worker.postMessage(request), terminate: () => worker.terminate() };
};
