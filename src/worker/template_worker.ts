/** The Web Worker that renders chat templates, and is thrown away when one does not end. */
import type { TemplateReply, TemplateRequest } from './template_protocol.ts';
import { serveTemplates } from './template_service.ts';

const serve = serveTemplates((reply: TemplateReply) => self.postMessage(reply));
self.addEventListener('message', ({ data }: MessageEvent<TemplateRequest>) => serve(data));
