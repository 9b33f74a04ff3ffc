/** A Web Worker that cuts texts into tokens, from within a worker or a page. */
import type { CreateTokenizerWorker, TokenizerReply } from './tokenizer_protocol.ts';

export const createBrowserTokenizerWorker: CreateTokenizerWorker = (onReply, onFailure) => {
  const worker = new Worker(new URL('./tokenizer_worker.ts', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<TokenizerReply>) => onReply(data));
  worker.addEventListener('error', (event) => onFailure(event.message || 'it could not be started'));
  return { post: (request) => worker.postMessage(request), terminate: () => worker.terminate() };
};
