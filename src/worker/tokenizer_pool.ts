/**
 * Texts cut into tokens by several workers at once. Each has the model's tokenizer for itself; a batch goes to the one with the least to do,
 * and its tokens do not depend on which. The workers start with the first batch and are let go when none came for a while.
 */
import type { ModelText } from '../data/model_text.ts';
import type { EncodedRows, RowEncoder } from '../data/row_encoder.ts';
import type { DroppedFile } from '../hub/dropped_folder.ts';
import type { CreateTokenizerWorker, TokenizerReply, TokenizerWorker } from './tokenizer_protocol.ts';

/** A tokenizer of 128,000 tokens takes some 40 MB in each. */
const MOST_WORKERS = 4;
const IDLE_MS = 10_000;

/** No row's fault, and no row is lost by it. */
export class TokenizerWorkerError extends Error {
  override name = 'TokenizerWorkerError';
  constructor(reason: string) {
    super(`A worker that cuts rows into tokens ended: ${reason.replace(/\.$/, '')}. Read the data again.`);
  }
}

interface Job {
  resolve(encoded: EncodedRows): void;
  reject(error: Error): void;
}

interface Member {
  readonly worker: TokenizerWorker;
  /** What it was given and has not answered, in order. */
  readonly jobs: Job[];
}

export class TokenizerPool implements RowEncoder {
  readonly width: number;
  readonly #files: readonly DroppedFile[];
  readonly #create: CreateTokenizerWorker;
  readonly #idleMs: number;
  #members: Member[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(files: readonly DroppedFile[], create: CreateTokenizerWorker, width: number, idleMs = IDLE_MS) {
    this.width = width;
    this.#files = files;
    this.#create = create;
    this.#idleMs = idleMs;
  }

  encode(texts: readonly ModelText[], maxLength: number): Promise<EncodedRows> {
    clearTimeout(this.#timer);
    const { worker, jobs } = this.#leastBusy();
    return new Promise((resolve, reject) => {
      jobs.push({ resolve, reject });
      worker.post({ type: 'encode', texts, maxLength });
    });
  }

  /** Lets the workers go; what they were given is refused. */
  close(reason = 'it was closed'): void {
    clearTimeout(this.#timer);
    const members = this.#members;
    this.#members = [];
    for (const { worker, jobs } of members) {
      worker.terminate();
      for (const job of jobs) job.reject(new TokenizerWorkerError(reason));
    }
  }

  #leastBusy(): Member {
    const idle = this.#members.find(({ jobs }) => jobs.length === 0);
    if (idle) return idle;
    if (this.#members.length < this.width) return this.#start();
    return this.#members.reduce((least, member) => (member.jobs.length < least.jobs.length ? member : least));
  }

  #start(): Member {
    const onReply = (reply: TokenizerReply) => {
      if (!this.#members.includes(member)) return;
      if (reply.type === 'failed') this.close(reply.reason);
      else member.jobs.shift()?.resolve(reply.encoded);
      if (this.#members.every(({ jobs }) => jobs.length === 0)) this.#rest();
    };
    const onFailure = (reason: string) => {
      if (this.#members.includes(member)) this.close(reason);
    };
    const member: Member = { worker: this.#create(onReply, onFailure), jobs: [] };
    member.worker.post({ type: 'open', files: this.#files });
    this.#members.push(member);
    return member;
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(), this.#idleMs);
    // Node would wait for it before it ends.
    if (typeof this.#timer === 'object') this.#timer.unref();
  }
}

/** One thread is left to what reads the rows and hands them out. */
export const poolWidth = (cores: number): number => Math.min(MOST_WORKERS, Math.max(1, cores - 1));
