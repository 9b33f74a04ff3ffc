/**
 * A chat template in a worker of its own. A template that does not end in time, or takes the worker down, costs the row and the
 * worker; a fresh one takes the next row. A worker lives as long as it is asked, and is let go when it has not been for a while.
 */
import type { ChatRenderer, OpenChat, RenderedChat } from '../data/chat_renderer.ts';
import type { Message } from '../data/rows.ts';
import { type ChatLimits, type Client, refusal, TemplateHost } from './template_host.ts';
import type { CreateTemplateWorker } from './template_protocol.ts';

const LIMITS: ChatLimits = {
  milliseconds: 1200,
  millisecondsAMessage: 50,
  startMilliseconds: 30_000,
  stops: 3,
  idleMilliseconds: 10_000,
};

/** All that is opened for one template shares a worker. */
export function containedChat(create: CreateTemplateWorker, changes: Partial<ChatLimits> = {}): OpenChat {
  const limits = { ...LIMITS, ...changes };
  let last: { readonly key: string; readonly host: TemplateHost } | undefined;
  return (setup) => {
    const key = JSON.stringify({ ...setup, now: 0 });
    if (last?.key !== key) last = { key, host: new TemplateHost(setup, create, limits) };
    return new ContainedChat(last.host, limits.stops);
  };
}

class ContainedChat implements ChatRenderer {
  readonly #host: TemplateHost;
  readonly #client: Client;

  constructor(host: TemplateHost, stops: number) {
    this.#host = host;
    this.#client = { stopped: 0, stops };
  }

  open(): Promise<void> {
    return this.#host.open();
  }

  async render(messages: readonly Message[], spans: boolean, promptMessages?: number): Promise<RenderedChat> {
    const reply = await this.#host.ask({ type: 'render', messages, spans, promptMessages }, this.#client);
    if (reply.type === 'rendered') return reply.conversation;
    throw refusal(reply);
  }

  async prompt(messages: readonly Message[]): Promise<string> {
    const reply = await this.#host.ask({ type: 'prompt', messages }, this.#client);
    if (reply.type === 'prompted') return reply.text;
    throw refusal(reply);
  }
}
