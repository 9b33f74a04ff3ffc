/** One chat template's worker, kept busy and watched: what is asked of it waits in line, and who hangs it is told so. */
import { SpanError } from '../data/assistant_spans.ts';
import type { ChatSetup } from '../data/chat_renderer.ts';
import { ChatTemplateError } from '../data/chat_template.ts';
import type { CreateTemplateWorker, TemplateReply, TemplateRequest, TemplateWorker } from './template_protocol.ts';

export interface ChatLimits {
  /** For one conversation, or for reading the template. An honest one takes about a thousandth of it. */
  readonly milliseconds: number;
  /** More for each message: a long conversation is rendered again for each of its answers. */
  readonly millisecondsAMessage: number;
  /** For the worker to load; a slow disk or network is no template's fault. */
  readonly startMilliseconds: number;
  /** How many conversations may be stopped one after the other before the template is given up. */
  readonly stops: number;
  readonly idleMilliseconds: number;
}

/** The template was stopped again and again: no row of the file would fare better. */
export class ChatTemplateStoppedError extends Error {
  override name = 'ChatTemplateStoppedError';
}

export interface Client {
  /** Its conversations that were stopped one after the other, and how many of them are too many. */
  stopped: number;
  readonly stops: number;
}

type RenderRequest = Extract<TemplateRequest, { type: 'render' | 'prompt' }>;

interface Waiting<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

interface Job extends Waiting<TemplateReply> {
  readonly request: RenderRequest;
  readonly client: Client;
}

/** Requests that the worker is given ahead, so that it need not wait for the next one. */
const POSTED_AHEAD = 32;

const GRACE_MILLISECONDS = 50;

/** The worker of one template, a fresh one when it is needed. It answers in order, so the first job is the one under way. */
export class TemplateHost {
  readonly #setup: ChatSetup;
  readonly #create: CreateTemplateWorker;
  readonly #limits: ChatLimits;
  #worker: TemplateWorker | null = null;
  /** Loading its code, reading the template, rendering. */
  #state: 'loading' | 'opening' | 'open' = 'loading';
  #openers: Waiting<void>[] = [];
  #jobs: Job[] = [];
  /** So many of the jobs have been posted. */
  #posted = 0;
  /** For the reply that is waited for, or until an idle worker is let go. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(setup: ChatSetup, create: CreateTemplateWorker, limits: ChatLimits) {
    this.#setup = setup;
    this.#create = create;
    this.#limits = limits;
  }

  /** Rejects with ChatTemplateError when the template cannot be read. */
  open(): Promise<void> {
    if (this.#worker && this.#state === 'open') return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#openers.push({ resolve, reject });
      this.#launch();
    });
  }

  /** The reply; rejects with ChatTemplateError when the template had to be stopped. */
  ask(request: RenderRequest, client: Client): Promise<TemplateReply> {
    return new Promise((resolve, reject) => {
      this.#jobs.push({ request, client, resolve, reject });
      this.#pump();
    });
  }

  #launch(): void {
    if (this.#worker) return;
    this.#state = 'loading';
    this.#wait(this.#limits.startMilliseconds);
    const worker: TemplateWorker = this.#create(
      (reply) => this.#worker === worker && this.#onReply(reply),
      (reason) => this.#worker === worker && this.#onFailure(reason),
    );
    this.#worker = worker;
  }

  #pump(): void {
    // Whoever was stopped too often gets no further turn.
    this.#jobs = this.#jobs.filter(({ client, reject }, index) => {
      if (index < this.#posted || client.stopped < client.stops) return true;
      reject(givenUp(client.stops));
      return false;
    });
    if (this.#jobs.length === 0) {
      if (this.#worker && this.#state === 'open') this.#rest();
      return;
    }
    this.#launch();
    if (this.#state !== 'open') return;
    if (this.#posted === 0) this.#waitForFirst();
    for (; this.#posted < Math.min(this.#jobs.length, POSTED_AHEAD); this.#posted++) {
      this.#worker!.post(this.#jobs[this.#posted]!.request);
    }
  }

  #onReply(reply: TemplateReply): void {
    clearTimeout(this.#timer);
    if (this.#state === 'loading') {
      this.#state = 'opening';
      this.#wait(this.#limits.milliseconds);
      this.#worker!.post({ type: 'open', setup: this.#setup });
    } else if (this.#state === 'opening') {
      if (reply.type === 'opened') this.#onOpened();
      else this.#giveUp(refusal(reply));
    } else {
      const job = this.#jobs.shift()!;
      this.#posted--;
      job.client.stopped = 0;
      job.resolve(reply);
      if (this.#posted > 0) this.#waitForFirst();
      this.#pump();
    }
  }

  #onOpened(): void {
    this.#state = 'open';
    for (const opener of this.#openers.splice(0)) opener.resolve();
    this.#pump();
  }

  /** No reply in time, or none any more. */
  #onFailure(reason: string): void {
    const stopped = new ChatTemplateError(`The model's chat template was stopped: ${reason}.`, reason);
    if (this.#state !== 'open') {
      this.#giveUp(this.#state === 'loading' ? startFailure(reason) : stopped);
      return;
    }
    this.#stop();
    const job = this.#jobs.shift();
    if (job) {
      job.client.stopped++;
      job.reject(stopped);
    }
    this.#pump();
  }

  /** Nobody who waits would fare better with another worker. */
  #giveUp(error: Error): void {
    this.#stop();
    for (const waiting of [...this.#openers.splice(0), ...this.#jobs.splice(0)]) waiting.reject(error);
  }

  #waitForFirst(): void {
    const { milliseconds, millisecondsAMessage } = this.#limits;
    this.#wait(milliseconds + millisecondsAMessage * this.#jobs[0]!.request.messages.length);
  }

  #wait(milliseconds: number): void {
    clearTimeout(this.#timer);
    // Where this thread itself was busy, the reply may lie in its queue behind the timer.
    const late = () => {
      const fail = () => this.#onFailure(`it did not end within ${milliseconds / 1000} s`);
      this.#timer = setTimeout(fail, GRACE_MILLISECONDS);
    };
    this.#timer = setTimeout(late, milliseconds);
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stop(), this.#limits.idleMilliseconds);
    // Node would wait for it before it ends.
    if (typeof this.#timer === 'object') this.#timer.unref();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#worker?.terminate();
    this.#worker = null;
    this.#posted = 0;
  }
}

function givenUp(stops: number): Error {
  return new ChatTemplateStoppedError(
    `The model's chat template was stopped ${stops} times in a row, because it did not end or took too much memory. ` +
      'Choose another model, or rows with text or prompt and completion.',
  );
}

/** No template's fault, so no row's. */
function startFailure(reason: string): Error {
  return new Error(`The worker that renders chat templates did not start: ${reason}. Try again.`);
}

/** A refusal as the error that it was in the worker. */
export function refusal(reply: TemplateReply): Error {
  if (reply.type !== 'refused') return new Error(`The worker for chat templates answered with ${reply.type}.`);
  return reply.error === 'spans' ? new SpanError(reply.message) : new ChatTemplateError(reply.message, reply.detail);
}
