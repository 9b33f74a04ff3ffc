/**
 * A chat template in a worker of its own. A template that does not end in time, or takes the worker down, costs the row and the
 * worker; a fresh one takes the next row. A worker lives as long as it is asked, and is let go when it has not been for a while.
 */
import { type ConversationSpans, SpanError } from '../data/assistant_spans.ts';
import type { ChatRenderer, ChatSetup, OpenChat } from '../data/chat_renderer.ts';
import { ChatTemplateError } from '../data/chat_template.ts';
import type { Message } from '../data/rows.ts';
import type { CreateTemplateWorker, TemplateReply, TemplateRequest, TemplateWorker } from './template_protocol.ts';

export interface ChatLimits {
  /** For one conversation, or for reading the template. An honest one takes about a thousandth of it. */
  readonly milliseconds: number;
  /** For the worker to load; a slow disk or network is no template's fault. */
  readonly startMilliseconds: number;
  /** How many conversations may be stopped one after the other before the template is given up. */
  readonly stops: number;
  readonly idleMilliseconds: number;
}

const LIMITS: ChatLimits = { milliseconds: 1200, startMilliseconds: 30_000, stops: 3, idleMilliseconds: 10_000 };

/** The template was stopped again and again: no row of the file would fare better. */
export class ChatTemplateStoppedError extends Error {
  override name = 'ChatTemplateStoppedError';
}

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
  readonly #stops: number;
  /** Conversations stopped one after the other. */
  #stopped = 0;

  constructor(host: TemplateHost, stops: number) {
    this.#host = host;
    this.#stops = stops;
  }

  open(): Promise<void> {
    return this.#host.open();
  }

  async render(messages: readonly Message[], spans: boolean): Promise<ConversationSpans> {
    if (this.#stopped >= this.#stops) {
      throw new ChatTemplateStoppedError(
        `The model's chat template was stopped ${this.#stops} times in a row, because it did not end or took too much memory. ` +
          'Choose another model, or rows with text or prompt and completion.',
      );
    }
    let reply: TemplateReply;
    try {
      reply = await this.#host.ask({ type: 'render', messages, spans });
    } catch (error) {
      if (error instanceof ChatTemplateError) this.#stopped++;
      throw error;
    }
    this.#stopped = 0;
    if (reply.type === 'rendered') return reply.conversation;
    throw refusal(reply);
  }
}

interface Running {
  readonly worker: TemplateWorker;
  /** Takes the next reply, or the reason why there will be none. */
  settle: { reply(reply: TemplateReply): void; fail(reason: string): void } | null;
}

/** The worker of one template, a fresh one when it is needed. */
class TemplateHost {
  readonly #setup: ChatSetup;
  readonly #create: CreateTemplateWorker;
  readonly #limits: ChatLimits;
  #running: Running | null = null;
  /** The last request; the next one waits for it. */
  #last: Promise<unknown> = Promise.resolve();
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(setup: ChatSetup, create: CreateTemplateWorker, limits: ChatLimits) {
    this.#setup = setup;
    this.#create = create;
    this.#limits = limits;
  }

  /** Rejects with ChatTemplateError when the template cannot be read. */
  async open(): Promise<void> {
    if (!this.#running) await this.#inTurn(async () => void (await this.#start()));
  }

  /** The reply; rejects with ChatTemplateError when the template had to be stopped. */
  ask(request: TemplateRequest): Promise<TemplateReply> {
    return this.#inTurn(async () => this.#ask(await this.#start(), request));
  }

  /** One request at a time, so that the time it takes is its own. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    clearTimeout(this.#idle);
    const done = this.#last.then(work);
    this.#last = done.then(
      () => this.#rest(),
      () => this.#rest(),
    );
    return done;
  }

  #rest(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#stop(), this.#limits.idleMilliseconds);
    // Node would wait for it before it ends.
    if (typeof this.#idle === 'object') this.#idle.unref();
  }

  /** The worker that is there, or a new one that has read the template. */
  async #start(): Promise<Running> {
    if (this.#running) return this.#running;
    const settled: { current: Running | null } = { current: null };
    const worker = this.#create(
      (reply) => settled.current?.settle?.reply(reply),
      (reason) => settled.current?.settle?.fail(reason),
    );
    const running: Running = { worker, settle: null };
    settled.current = running;
    this.#running = running;
    await this.#reply(running, this.#limits.startMilliseconds, startFailure);
    const reply = await this.#ask(running, { type: 'open', setup: this.#setup });
    if (reply.type === 'opened') return running;
    this.#stop();
    throw refusal(reply);
  }

  #ask(running: Running, request: TemplateRequest): Promise<TemplateReply> {
    const stopped = (reason: string) =>
      new ChatTemplateError(`The model's chat template was stopped: ${reason}.`, reason);
    const reply = this.#reply(running, this.#limits.milliseconds, stopped);
    running.worker.post(request);
    return reply;
  }

  /** The next reply; when there is none in time, the worker is gone. */
  #reply(running: Running, milliseconds: number, failure: (reason: string) => Error): Promise<TemplateReply> {
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        running.settle = null;
      };
      const fail = (reason: string) => {
        end();
        this.#stop();
        reject(failure(reason));
      };
      const timer = setTimeout(() => fail(`it did not end within ${milliseconds / 1000} s`), milliseconds);
      running.settle = {
        fail,
        reply(reply) {
          end();
          resolve(reply);
        },
      };
    });
  }

  #stop(): void {
    this.#running?.worker.terminate();
    this.#running = null;
  }
}

/** No template's fault, so no row's. */
function startFailure(reason: string): Error {
  return new Error(`The worker that renders chat templates did not start: ${reason}. Try again.`);
}

function refusal(reply: TemplateReply): Error {
  if (reply.type !== 'refused') return new Error(`The worker for chat templates answered with ${reply.type}.`);
  return reply.error === 'spans' ? new SpanError(reply.message) : new ChatTemplateError(reply.message, reply.detail);
}
