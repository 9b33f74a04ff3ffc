/** What was asked of the Hub and what it sent. */
import { RangeSet } from '../../src/hub/ranges.ts';

export interface LogEntry {
  readonly origin: 'api' | 'cdn';
  readonly method: string;
  /** Path and query as they came. */
  readonly url: string;
  /** Of a model, without its id, when the request was for one. */
  readonly file: string | null;
  readonly range: string | null;
  readonly ifRange: string | null;
  /** As it came, null without. */
  readonly authorization: string | null;
  status: number;
  /** The first byte of the file that the answer holds. */
  begin: number;
  /** Bytes of the body that were sent. */
  bytes: number;
}

export class HubLog {
  readonly entries: LogEntry[] = [];

  clear(): void {
    this.entries.length = 0;
  }

  /** The requests for a file's bytes, preflights and redirects left out. */
  reads(file?: string | RegExp): LogEntry[] {
    return this.entries.filter(
      (entry) =>
        entry.method === 'GET' &&
        entry.file !== null &&
        (entry.status === 200 || entry.status === 206) &&
        (file === undefined || (typeof file === 'string' ? entry.file === file : file.test(entry.file))),
    );
  }

  /** How much of a file was sent: in all, and more than once. Bytes. */
  bytesServed(file: string): { readonly once: number; readonly again: number; readonly set: RangeSet } {
    const set = new RangeSet();
    let sent = 0;
    for (const { begin, bytes } of this.reads(file)) {
      set.add(begin, begin + bytes);
      sent += bytes;
    }
    return { once: set.total, again: sent - set.total, set };
  }

  /**
   * Throws unless all that was sent of large files was asked for by range, and no byte of them was sent twice; `slack`
   * bytes may be, where a connection was cut and its last bytes were lost on the way.
   */
  expectEachByteOnce(files: readonly string[], slack = 0): void {
    for (const file of files) {
      const whole = this.reads(file).find(({ range }) => range === null);
      if (whole) throw new Error(`${file} was asked for without a Range: ${whole.url}`);
      const { again, set } = this.bytesServed(file);
      if (again > slack) {
        const ranges = this.reads(file).map(({ begin, bytes }) => `[${begin}, ${begin + bytes})`);
        throw new Error(`${again} of ${set.total} bytes of ${file} were sent more than once: ${ranges.join(' ')}`);
      }
    }
  }

  /** Throws when the token was seen in an address, or anywhere at the storage. */
  expectTokenOnlyAtApi(token: string): void {
    for (const { origin, method, url, authorization } of this.entries) {
      if (decodeURIComponent(url).includes(token)) throw new Error(`The token is in the address ${method} ${url}.`);
      if (origin === 'cdn' && authorization !== null) throw new Error(`The storage got a token: ${method} ${url}.`);
    }
  }
}
