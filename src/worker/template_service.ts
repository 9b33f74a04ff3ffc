/** The inside of the worker that renders chat templates: a request in, its reply out. It holds nothing that could be lost. */
import { SpanError } from '../data/assistant_spans.ts';
import { compileChat } from '../data/chat_renderer.ts';
import { ChatTemplateError } from '../data/chat_template.ts';
import type { TemplateReply, TemplateRequest } from './template_protocol.ts';

/** Answers requests from now on, and says that it does. */
export function serveTemplates(post: (reply: TemplateReply) => void): (request: TemplateRequest) => void {
  let chat: ReturnType<typeof compileChat> | undefined;
  const answer = (request: TemplateRequest): TemplateReply => {
    try {
      if (request.type === 'open') {
        chat = compileChat(request.setup);
        return { type: 'opened' };
      }
      if (request.type === 'prompt') return { type: 'prompted', text: chat!.prompt(request.messages) };
      return { type: 'rendered', conversation: chat!.render(request.messages, request.spans, request.promptMessages) };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof SpanError) return { type: 'refused', error: 'spans', message, detail: message };
      const detail = error instanceof ChatTemplateError ? error.detail : message;
      return { type: 'refused', error: 'template', message, detail };
    }
  };
  post({ type: 'ready' });
  return (request) => post(answer(request));
}
