/** Every request to the Hub goes through here: who gets the token, which hosts were spoken to, what a refusal means. */
import {
  GatedModelError,
  HubAnswerError,
  HubBusyError,
  type HubError,
  ModelChangedError,
  ModelNotFoundError,
  OfflineError,
} from './errors.ts';
import { type Gate, OPEN_GATE, waitForGate } from './gate.ts';
import {
  DEFAULT_RETRY,
  type Failure,
  Retries,
  type RetryNotice,
  type RetryPolicy,
  retryAfterSeconds,
} from './retry.ts';

export interface ConnectionOptions {
  /** The Hub's address, `https://huggingface.co` unless a test or a mirror says otherwise. */
  readonly hubUrl: string;
  readonly fetch?: typeof fetch;
  /** Asked before each request, so that a token given later is used. */
  readonly token?: () => string | null;
  /** A request failed and is tried again. */
  readonly onRetry?: (notice: RetryNotice) => void;
  readonly signal?: AbortSignal;
  readonly gate?: Gate;
  readonly retry?: Partial<RetryPolicy>;
}

/** Metadata is small and someone is waiting: fewer retries than for weights. */
const API_ATTEMPTS = 3;

export class HubConnection {
  /** Without a slash at the end. */
  readonly hubUrl: string;
  readonly origin: string;
  readonly gate: Gate;
  /** Ends every request: the caller's signal, or {@link close}. */
  readonly signal: AbortSignal;
  readonly retry: RetryPolicy;
  /** In the order in which they were first spoken to. */
  readonly hosts = new Set<string>();
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();
  /** Origins that answered, or did not answer, a request with If-Range: see {@link sendsIfRange}. */
  readonly #ifRange = new Map<string, boolean>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.hubUrl = options.hubUrl.replace(/\/+$/, '');
    this.origin = new URL(this.hubUrl).origin;
    this.gate = options.gate ?? OPEN_GATE;
    this.retry = { ...DEFAULT_RETRY, ...options.retry };
    this.signal = AbortSignal.any([this.#closing.signal, ...(options.signal ? [options.signal] : [])]);
  }

  close(): void {
    this.#closing.abort(new DOMException('The model was closed.', 'AbortError'));
  }

  /** For one piece of work. */
  retries(attempts = this.retry.attempts): Retries {
    return new Retries({ ...this.retry, attempts }, (notice) => this.#options.onRetry?.(notice), this.signal);
  }

  /** One request. The token goes to the Hub's own origin, as a header, and nowhere else. */
  async send(address: URL, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.delete('authorization');
    const token = address.origin === this.origin ? this.#token() : null;
    if (token !== null) headers.set('authorization', `Bearer ${token}`);
    this.hosts.add(address.host);
    // Called without `this`, as browsers want it.
    const request = this.#options.fetch ?? fetch;
    const response = await request(address.href, {
      ...init,
      headers,
      // Across a redirect to another origin, fetch drops the Authorization header by itself (Fetch §4.4).
      redirect: 'follow',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      // Weights would only displace what else the browser keeps, and are written to disk once already.
      cache: 'no-store',
    });
    this.hosts.add(answeredBy(response, address).host);
    return response;
  }

  /** A fetch for @huggingface/hub's API calls: retried, and every refusal a named error. `subject` is for its text. */
  api(subject: string): typeof fetch {
    return async (input, init) => {
      const address = new URL(input instanceof Request ? input.url : input);
      if (address.origin !== this.origin) {
        throw new HubAnswerError(`${subject}: the Hub's answer leads to ${address.host}. Check the Hub's address.`);
      }
      const retries = this.retries(API_ATTEMPTS);
      for (;;) {
        await waitForGate(this.gate, this.signal);
        const response = await this.#sendApi(address, init, subject);
        if (response instanceof Response) return response;
        await retries.after(response);
      }
    };
  }

  async #sendApi(address: URL, init: RequestInit | undefined, subject: string): Promise<Response | Failure> {
    let response: Response;
    try {
      const limit = AbortSignal.timeout(this.retry.stallSeconds * 1000);
      response = await this.send(address, { ...init, signal: AbortSignal.any([this.signal, limit]) });
    } catch (error) {
      const failure = this.unreachable(error, address.host, subject);
      // The browser knows that there is no network: nobody has to wait for the attempts.
      if (globalThis.navigator?.onLine === false) throw failure.error;
      return failure;
    }
    if (!response.ok) {
      const failure = this.refusal(response, subject);
      await discard(response);
      return failure;
    }
    if (!/json/.test(response.headers.get('content-type') ?? '')) {
      await discard(response);
      throw new HubAnswerError(
        `${subject}: ${address.host} answered with something that is not JSON. ` +
          'Check the connection: a network that asks to sign in may stand in between.',
      );
    }
    return response;
  }

  /** What to do about a request that got no answer; rethrows when it was aborted or is a named error already. */
  unreachable(error: unknown, host: string, subject: string): Failure {
    this.signal.throwIfAborted();
    if (error instanceof GatedModelError) throw error;
    const detail = error instanceof Error ? reasonOf(error) : String(error);
    const offline = new OfflineError(host, subject, detail);
    return { reason: `${host} cannot be reached (${detail})`, error: offline };
  }

  /** A refusal of the Hub's own origin that may pass; throws the error of one that will not. */
  refusal(response: Response, subject: string): Failure {
    const { status } = response;
    const host = answeredBy(response).host || new URL(this.hubUrl).host;
    const code = response.headers.get('x-error-code');
    if (status === 401 || status === 403) throw this.#denied(status, code, subject);
    if (status === 404 || status === 410) throw notFound(code, subject);
    if (status === 408 || status === 429 || status >= 500) return busy(response, host, subject);
    throw new HubAnswerError(
      `${subject}: ${host} answered ${status}. Try again later, or check the model's page on the Hub.`,
    );
  }

  /**
   * Whether If-Range may be sent to a storage origin. It is not a CORS-safelisted header, so a page's request needs a
   * preflight, which not every storage host answers; a plain Range needs none. Where the first try gets no answer,
   * further requests go without, and the ETag of each answer is compared all the same.
   */
  sendsIfRange(origin: string): boolean {
    return this.#ifRange.get(origin) ?? true;
  }

  ifRangeWas(origin: string, answered: boolean): void {
    if (!this.#ifRange.get(origin)) this.#ifRange.set(origin, answered);
  }

  #token(): string | null {
    const token = this.#options.token?.()?.trim() || null;
    // fetch would quote a bad header value in its error.
    if (token !== null && !/^[\x21-\x7e]+$/.test(token)) {
      throw new GatedModelError(
        'The access token has characters that no token has. Copy it again; it begins with hf_.',
      );
    }
    return token;
  }

  #denied(status: number, code: string | null, subject: string): HubError {
    const token = this.#options.token?.()?.trim() || null;
    const page = `the model's page on ${new URL(this.hubUrl).host}`;
    if (token !== null && status === 401) {
      return new GatedModelError(
        `${subject}: the Hub does not accept the access token; it may have expired or been revoked. Give another one.`,
      );
    }
    if (token !== null) {
      return new GatedModelError(
        `${subject}: the access token has no access to this model. Accept its licence on ${page}, ` +
          'or give a token of an account that may read it.',
      );
    }
    if (code === 'GatedRepo' || status === 403) {
      return new GatedModelError(
        `${subject} is gated. Accept its licence on ${page}, then give an access token of your account.`,
      );
    }
    // Without a token the Hub does not tell a private model from none.
    return new GatedModelError(
      `${subject} does not exist or is private. Check the id; for a private one, give an access token.`,
    );
  }
}

/** Which address answered in the end; `asked` where the response does not say. */
export function answeredBy(response: Response, asked?: URL): URL {
  return response.url ? new URL(response.url) : (asked ?? new URL('none:'));
}

/** Frees the connection of an answer that is not read. */
export async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined);
}

/** 408, 429 and 5xx: worth another try, not before the server says. */
export function busy(response: Response, host: string, subject: string): Failure {
  const { status } = response;
  const afterSeconds = retryAfterSeconds(response.headers);
  const reason = status === 429 ? `${host} limits requests (429)` : `${host} answered ${status}`;
  const when = afterSeconds === null ? 'in a few minutes' : `in ${Math.max(1, Math.ceil(afterSeconds / 60))} min`;
  return { reason, afterSeconds, error: new HubBusyError(`${subject}: ${reason}, repeatedly. Try again ${when}.`) };
}

function notFound(code: string | null, subject: string): HubError {
  if (code === 'RevisionNotFound') {
    return new ModelNotFoundError(`${subject} has no such revision. Check the branch, tag or commit, or leave it out.`);
  }
  if (code === 'EntryNotFound') return new ModelChangedError(subject, 'it is no longer there');
  return new ModelNotFoundError(`The Hub has no ${subject}. Check the id: it reads organisation/name.`);
}

/** The cause is what Node's fetch hides behind "fetch failed". */
function reasonOf(error: Error): string {
  if (error.name === 'TimeoutError') return 'no answer in time';
  const cause = error.cause instanceof Error ? error.cause : error;
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : null;
  return code ?? cause.message.slice(0, 100);
}
