/** One range of one file, however many requests it takes: what is cut goes on at the byte that was reached. */
import { NotAModelFileError } from '../formats/safetensors.ts';
import { answeredBy, busy, discard, type HubConnection } from './connection.ts';
import { HubAnswerError, ModelChangedError } from './errors.ts';
import { waitForGate } from './gate.ts';
import type { Failure, Retries } from './retry.ts';

/** A server that ignores Range sends whole files: bearable for a tokenizer.json, not for weights. Bytes. */
const WHOLE_FILE_CAP = 32 * 2 ** 20;
/** A Git LFS pointer has 130 to 140. */
const POINTER_BYTES = 1024;
/** Progress that counts: less than this a connection is as good as dead. Bytes. */
const PROGRESS_BYTES = 64 * 2 ** 10;
/** An ETag that changes at each request belongs to no file. */
const RESTARTS = 3;
/** Signed addresses refused in a row before giving up on asking them directly. */
const DIRECT_REFUSALS = 2;

/** What is known of a file while it is read. */
export class RemoteFile {
  /** For messages. */
  readonly name: string;
  readonly size: number;
  /** On the Hub's own origin, pinned to a commit. */
  readonly address: URL;
  /** The signed address at which the storage answered last: kept in memory only, never shown. */
  direct: URL | null = null;
  directRefusals = 0;
  etag: string | null = null;
  /** Bytes were handed to a reader: the file cannot be started again behind its back. */
  used = false;
  /** Counts the restarts: what was received in an earlier epoch is void. */
  epoch = 0;
  /** The content, from a server that ignores Range. */
  whole: Uint8Array<ArrayBuffer> | null = null;

  constructor(name: string, size: number, address: URL) {
    this.name = name;
    this.size = size;
    this.address = address;
  }

  /** Throws {@link ModelChangedError} unless nothing was used yet; then all that was received is void. */
  changed(what: string, etag: string | null): void {
    if (this.used || this.epoch >= RESTARTS) throw new ModelChangedError(this.name, what);
    this.epoch += 1;
    this.etag = etag;
    this.whole = null;
  }
}

export interface Sink {
  /** Forget what came: the range begins again. */
  restart(): void;
  /** The next bytes of the range; to be copied. */
  chunk(bytes: Uint8Array): void;
}

/**
 * Feeds bytes [begin, end) of the file to `sink`, in order. Rejects with a named error when that cannot be done, with
 * the signal's reason when it is aborted. While the gate is shut, no connection is kept.
 */
export async function downloadRange(
  connection: HubConnection,
  file: RemoteFile,
  begin: number,
  end: number,
  sink: Sink,
): Promise<void> {
  const download = new Download(connection, file, begin, end, sink);
  const retries = connection.retries();
  for (;;) {
    await waitForGate(connection.gate, connection.signal);
    const failure = await download.attempt(retries);
    if (download.done) return;
    if (failure) await retries.after(failure);
  }
}

class Download {
  readonly #connection: HubConnection;
  readonly #file: RemoteFile;
  readonly #begin: number;
  readonly #end: number;
  readonly #sink: Sink;
  #at: number;
  #epoch: number;

  constructor(connection: HubConnection, file: RemoteFile, begin: number, end: number, sink: Sink) {
    this.#connection = connection;
    this.#file = file;
    this.#begin = begin;
    this.#end = end;
    this.#sink = sink;
    this.#at = begin;
    this.#epoch = file.epoch;
  }

  get done(): boolean {
    return this.#at === this.#end && this.#epoch === this.#file.epoch;
  }

  /** One request. Null when it ended well, was paused or has to be repeated at once. */
  async attempt(retries: Retries): Promise<Failure | null> {
    const file = this.#file;
    if (this.#epoch !== file.epoch) {
      this.#epoch = file.epoch;
      this.#at = this.#begin;
      this.#sink.restart();
    }
    if (file.whole) return this.#takeWhole(file.whole);
    const address = file.direct ?? file.address;
    const headers: Record<string, string> = { range: `bytes=${this.#at}-${this.#end - 1}` };
    const conditional =
      file.direct !== null && isStrong(file.etag) && this.#connection.sendsIfRange(address.origin) ? file.etag : null;
    if (conditional !== null) headers['if-range'] = conditional;
    const watch = new StallWatch(this.#connection.signal, this.#connection.retry.stallSeconds);
    const from = this.#at;
    try {
      let response: Response;
      try {
        response = await this.#connection.send(address, { headers, signal: watch.signal });
      } catch (error) {
        if (conditional !== null) this.#connection.ifRangeWas(address.origin, false);
        return this.#connection.unreachable(error, address.host, file.name);
      }
      if (conditional !== null) this.#connection.ifRangeWas(address.origin, true);
      return await this.#take(response, address, watch);
    } finally {
      watch.end();
      if (this.#at - from >= PROGRESS_BYTES) retries.reset();
    }
  }

  async #take(response: Response, address: URL, watch: StallWatch): Promise<Failure | null> {
    const file = this.#file;
    const from = answeredBy(response, address);
    const foreign = from.origin !== this.#connection.origin;
    if (response.status === 206 || response.status === 200) {
      const etag = response.headers.get('etag');
      if (isWebPage(response) && !/\.html?$/.test(file.name)) {
        await discard(response);
        throw new NotAModelFileError(
          file.name,
          'not a model file but a web page (HTML)',
          'Check the connection: a network that asks to sign in may stand in between.',
        );
      }
      const other = this.#difference(response, etag);
      if (other !== null) {
        await discard(response);
        file.changed(other, etag);
        return null;
      }
      file.etag ??= etag;
      if (foreign) this.#remember(from);
      return response.status === 206
        ? this.#takeRange(response, from, watch)
        : this.#takeIgnored(response, from, watch);
    }
    const failure = this.#refusal(response, address, from);
    await discard(response);
    return failure;
  }

  /** What says that this is not the file that was begun; null when nothing does. */
  #difference(response: Response, etag: string | null): string | null {
    const { etag: known, size } = this.#file;
    if (known !== null && etag !== null && opaque(etag) !== opaque(known)) return 'its ETag is another';
    const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
    if (total === undefined || Number(total) === size) return null;
    if (Number(total) < POINTER_BYTES) {
      throw new NotAModelFileError(
        this.#file.name,
        `not a model file: ${total} bytes lie where ${size} were announced, as many as a Git LFS pointer has`,
        'Download it later, or choose another model: its files were not uploaded completely.',
      );
    }
    throw new ModelChangedError(this.#file.name, `it has ${total} bytes; ${size} were announced`);
  }

  async #takeRange(response: Response, from: URL, watch: StallWatch): Promise<Failure | null> {
    const first = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
    if (first !== undefined && Number(first) !== this.#at) {
      await discard(response);
      const problem = `${from.host} sent bytes from ${first} instead of ${this.#at}`;
      return this.#odd(problem);
    }
    return this.#stream(response, from, watch, (bytes) => {
      const taken = bytes.subarray(0, this.#end - this.#at);
      this.#sink.chunk(taken);
      this.#at += taken.length;
      return this.#at === this.#end;
    });
  }

  /** 200 to a request with Range: small files are kept whole, large ones would be downloaded again for each range. */
  async #takeIgnored(response: Response, from: URL, watch: StallWatch): Promise<Failure | null> {
    const { size, name } = this.#file;
    if (size > WHOLE_FILE_CAP) {
      await discard(response);
      return this.#odd(`${from.host} ignores the range that was asked for`);
    }
    const whole = new Uint8Array(size);
    let at = 0;
    const failure = await this.#stream(response, from, watch, (bytes) => {
      if (at + bytes.length > size) throw new ModelChangedError(name, `it has more than the ${size} bytes announced`);
      whole.set(bytes, at);
      at += bytes.length;
      return false;
    });
    if (at < size) {
      if (failure === null && this.#connection.gate.paused) return null;
      return failure ?? this.#odd(`${from.host} sent ${at} of ${size} bytes`);
    }
    this.#file.whole = whole;
    return this.#takeWhole(whole);
  }

  #takeWhole(whole: Uint8Array): null {
    this.#sink.chunk(whole.subarray(this.#at, this.#end));
    this.#at = this.#end;
    return null;
  }

  /** Reads a body until `take` says that it is enough, the gate shuts, the file restarts or the connection is cut. */
  async #stream(
    response: Response,
    from: URL,
    watch: StallWatch,
    take: (bytes: Uint8Array) => boolean,
  ): Promise<Failure | null> {
    const reader = response.body?.getReader();
    let ended = false;
    try {
      for (;;) {
        const chunk = await reader?.read();
        if (!chunk || chunk.done) break;
        watch.alive();
        if (this.#epoch !== this.#file.epoch) return null;
        ended = take(chunk.value);
        if (ended || this.#connection.gate.paused) return null;
      }
    } catch (error) {
      if (error instanceof ModelChangedError) throw error;
      const failure = this.#connection.unreachable(error, from.host, this.#file.name);
      return { ...failure, reason: `the connection to ${from.host} was cut`, atOnce: true };
    } finally {
      // A body that was read to its end leaves the connection to the next request; a cancelled one closes it.
      if (ended)
        void reader
          ?.read()
          .then(({ done }) => (done ? undefined : reader.cancel()))
          .catch(ignore);
      else await reader?.cancel().catch(ignore);
    }
    if (response.status === 200) return null;
    return { ...this.#odd(''), reason: `the connection to ${from.host} was cut`, atOnce: true };
  }

  #refusal(response: Response, address: URL, from: URL): Failure {
    const file = this.#file;
    const { status } = response;
    if (status === 416) {
      const total = /\*\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
      if (total !== undefined && Number(total) !== file.size) {
        throw new ModelChangedError(file.name, `it has ${total} bytes; ${file.size} were announced`);
      }
      file.direct = null;
      return this.#odd(`${from.host} refuses the range (416)`);
    }
    if (from.origin === this.#connection.origin) return this.#connection.refusal(response, file.name);
    if (status === 408 || status === 429 || status >= 500) return busy(response, from.host, file.name);
    // The storage knows no users: it refuses addresses whose signature has expired. The Hub gives another.
    const wasDirect = file.direct !== null && address.href === file.direct.href;
    if (wasDirect) {
      // Once for all the requests that were under way with this address.
      file.directRefusals += 1;
      file.direct = null;
    }
    const atOnce = address.origin !== this.#connection.origin;
    return { ...this.#odd(`${from.host} refuses its address (${status}): it may have expired`), atOnce };
  }

  #remember(from: URL): void {
    const file = this.#file;
    const wasDirect = file.direct?.href === from.href;
    if (wasDirect) file.directRefusals = 0;
    // A storage that honours an address only once after a redirect is asked through the Hub each time.
    else if (file.directRefusals < DIRECT_REFUSALS) file.direct = from;
  }

  #odd(problem: string): Failure {
    const reason = problem || 'the answer was too short';
    return {
      reason,
      error: new HubAnswerError(
        `${this.#file.name} cannot be read: ${reason}, repeatedly. ` +
          'Try again later; if it stays so, a proxy or an extension may stand in between.',
      ),
    };
  }
}

/** Ends a connection that sends nothing. */
class StallWatch {
  readonly #controller = new AbortController();
  readonly #seconds: number;
  readonly signal: AbortSignal;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(signal: AbortSignal, seconds: number) {
    this.#seconds = seconds;
    this.signal = AbortSignal.any([signal, this.#controller.signal]);
    this.alive();
  }

  alive(): void {
    clearTimeout(this.#timer);
    const stalled = () => this.#controller.abort(new DOMException('The connection stalled.', 'TimeoutError'));
    this.#timer = setTimeout(stalled, this.#seconds * 1000);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

/** The validator without the mark of a weak one. */
const opaque = (etag: string) => etag.replace(/^W\//, '');

/** Only strong validators may stand in If-Range (RFC 9110 §13.1.5). */
const isStrong = (etag: string | null): etag is string => etag?.startsWith('"') ?? false;

const ignore = () => undefined;

const isWebPage = (response: Response) => /^text\/html\b/i.test(response.headers.get('content-type') ?? '');
