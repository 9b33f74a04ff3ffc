/** What goes wrong on demand. A rule acts on the next request that it fits, `times` times. */
import type { VirtualFile } from './virtual_file.ts';

export interface FaultRule {
  /** Default: both. */
  readonly origin?: 'api' | 'cdn';
  /** Of a file, or the address's path for other requests. Default: any. */
  readonly path?: string | RegExp;
  /** Default 1. */
  readonly times?: number;
  /** Answers with this status instead. */
  readonly status?: number;
  /** Sent with `status`: seconds or an HTTP date. */
  readonly retryAfter?: string | number;
  /** Cuts the connection after so many bytes of the answer. */
  readonly cutAfterBytes?: number;
  /** Cuts the answer that holds this fraction of the file, there. */
  readonly cutAtFraction?: number;
  /** Sends so many bytes of the answer and then nothing more, the connection open. */
  readonly stallAfterBytes?: number;
  /** Answers 200 with the whole file. */
  readonly ignoreRange?: boolean;
  /** Answers this instead of the file. */
  readonly body?: { readonly text: string; readonly type: string; readonly status?: number };
  /** Waits before it answers. */
  readonly delayMs?: number;
  /** Closes the connection without an answer. */
  readonly drop?: boolean;
}

/** What a rule is compared with. */
export interface FaultTarget {
  readonly origin: 'api' | 'cdn';
  readonly path: string;
  /** Of a file's answer: its range and the file's size. */
  readonly range?: { readonly begin: number; readonly end: number; readonly size: number };
}

interface ActiveRule {
  readonly rule: FaultRule;
  left: number;
  hits: number;
}

export class Faults {
  /** Every connection is closed without an answer. */
  offline = false;
  /** The storage answers no CORS preflight, as some of the Hub's storage hosts do. */
  refusePreflights = false;
  /** The storage answers a range with 206 whatever If-Range says. */
  ignoreIfRange = false;
  #rules: ActiveRule[] = [];
  #etags: { path: string | RegExp; suffix: string }[] = [];
  readonly #replaced = new Map<string, VirtualFile>();
  #expired = 0;

  /** Returns how often the rule has acted. */
  add(rule: FaultRule): { readonly hits: number } {
    const active = { rule, left: rule.times ?? 1, hits: 0 };
    this.#rules.push(active);
    return active;
  }

  clear(): void {
    this.#rules = [];
    this.#etags = [];
    this.#replaced.clear();
    this.offline = false;
    this.refusePreflights = false;
    this.ignoreIfRange = false;
  }

  /** From now on the file has another ETag. */
  changeEtag(path: string | RegExp): void {
    this.#etags.push({ path, suffix: `-${this.#etags.length + 2}` });
  }

  /** From now on there is another file at this path, with its own ETag; addresses that were signed lead to it. */
  replaceFile(path: string, content: VirtualFile): void {
    this.changeEtag(path);
    this.#replaced.set(path, content);
  }

  contentOf({ path, content }: { readonly path: string; readonly content: VirtualFile }): VirtualFile {
    return this.#replaced.get(path) ?? content;
  }

  /** Every address signed so far is refused from now on. */
  expireSignatures(): void {
    this.#expired += 1;
  }

  /** Part of each signature. */
  get signatureEpoch(): number {
    return this.#expired;
  }

  etagSuffix(path: string): string {
    return this.#etags.findLast((one) => fits(one.path, path))?.suffix ?? '';
  }

  /** The oldest rule that fits, with the delays of the others; a rule that only delays stands behind none. */
  take(target: FaultTarget): FaultRule {
    let merged: FaultRule = {};
    let acting = false;
    for (const active of this.#rules) {
      const { rule } = active;
      if (active.left <= 0 || (rule.origin ?? target.origin) !== target.origin) continue;
      if (rule.path !== undefined && !fits(rule.path, target.path)) continue;
      let { cutAfterBytes } = rule;
      // These act on a file's bytes: the redirect to them does not use them up.
      if (!target.range && (cutAfterBytes ?? rule.stallAfterBytes ?? rule.ignoreRange) !== undefined) continue;
      if (rule.cutAtFraction !== undefined) {
        if (!target.range) continue;
        const { begin, end, size } = target.range;
        const at = Math.floor(size * rule.cutAtFraction);
        if (at < begin || at >= end) continue;
        cutAfterBytes = at - begin;
      }
      const delays = rule.delayMs !== undefined && !ACTIONS.some((action) => rule[action] !== undefined);
      if (acting && !delays) continue;
      acting ||= !delays;
      active.left -= 1;
      active.hits += 1;
      merged = { ...merged, ...rule, ...(cutAfterBytes === undefined ? {} : { cutAfterBytes }) };
    }
    return merged;
  }
}

const ACTIONS = ['status', 'cutAfterBytes', 'cutAtFraction', 'stallAfterBytes', 'ignoreRange', 'body', 'drop'] as const;

const fits = (pattern: string | RegExp, path: string) =>
  typeof pattern === 'string' ? path.includes(pattern) : pattern.test(path);
