/** What goes to and from the worker that renders chat templates, and that worker as its user sees it. */
import type { ChatSetup, RenderedChat } from '../data/chat_renderer.ts';
import type { Message } from '../data/rows.ts';

export type TemplateRequest =
  | { readonly type: 'open'; readonly setup: ChatSetup }
  | {
      readonly type: 'render';
      readonly messages: readonly Message[];
      readonly spans: boolean;
      readonly promptMessages: number | undefined;
    }
  /** Up to where the assistant's answer begins. */
  | { readonly type: 'prompt'; readonly messages: readonly Message[] };

/** One for each request, in order, and `ready` before them all. */
export type TemplateReply =
  | { readonly type: 'ready' }
  | { readonly type: 'opened' }
  | { readonly type: 'rendered'; readonly conversation: RenderedChat }
  | { readonly type: 'prompted'; readonly text: string }
  /** By its class, which does not survive being posted. */
  | {
      readonly type: 'refused';
      readonly error: 'template' | 'spans';
      readonly message: string;
      readonly detail: string;
    };

/** A worker or thread of its own. After `terminate` it says nothing more. */
export interface TemplateWorker {
  post(request: TemplateRequest): void;
  terminate(): void;
}

/** Starts one. `onFailure` is called when it cannot start or ends by itself, out of memory for one. */
export type CreateTemplateWorker = (
  onReply: (reply: TemplateReply) => void,
  onFailure: (reason: string) => void,
) => TemplateWorker;
