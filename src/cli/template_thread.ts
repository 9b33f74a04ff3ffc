/**
 * Chat templates in a thread of Node's. The thread runs the bundle that holds this file, so that there is no second one to build and find; what
 * follows below tells it what it is for.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { CreateTemplateWorker, TemplateReply, TemplateRequest } from '../worker/template_protocol.ts';
import { serveTemplates } from '../worker/template_service.ts';

const PURPOSE = 'nibble-chat-templates';
/** An honest template needs a few. */
const MEMORY_MB = 512;

export const createTemplateThread: CreateTemplateWorker = (onReply, onFailure) => {
  const thread = new Worker(new URL(import.meta.url), {
    workerData: PURPOSE,
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
  });
  // It alone does not keep the program from ending.
  thread.unref();
  let wanted = true;
  thread.on('message', (reply: TemplateReply) => onReply(reply));
  thread.on('error', (error) => wanted && onFailure(error.message));
  thread.on('exit', () => wanted && onFailure('its thread ended'));
  return {
    post: (request) => thread.postMessage(request),
    terminate() {
      wanted = false;
      void thread.terminate();
    },
  };
};

if (!isMainThread && workerData === PURPOSE && parentPort) {
  const port = parentPort;
  const serve = serveTemplates((reply) => port.postMessage(reply));
  port.on('message', (request: TemplateRequest) => serve(request));
}
