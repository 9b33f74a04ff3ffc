/** The studio's Web Worker: commands in, events out. */
import { createBrowserTemplateWorker } from './browser_template_worker.ts';
import { createBrowserTokenizerWorker } from './browser_tokenizer_worker.ts';
import type { StudioCommand, StudioEvent } from './studio_protocol.ts';
import { StudioSession } from './studio_session.ts';

/** An adapter's bytes change hands instead of being copied: they can be hundreds of megabytes. */
function emit(event: StudioEvent): void {
  const files = 'files' in event && event.type !== 'model-progress' ? (event.files ?? []) : [];
  self.postMessage(event, { transfer: files.map(({ bytes }) => bytes.buffer) });
}

const session = new StudioSession(emit, {
  requestGpu: async () => navigator.gpu,
  createTemplateWorker: createBrowserTemplateWorker,
  createTokenizerWorker: createBrowserTokenizerWorker,
  cores: navigator.hardwareConcurrency,
});

self.addEventListener('message', ({ data }: MessageEvent<StudioCommand>) => void session.handle(data));
