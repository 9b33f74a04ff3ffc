/** A folder on an HTTP server, read by byte range: a local server, a static host, the Hub's `resolve` addresses. */
import { FileMissingError, type Folder, type RangeSource } from '../formats/range_source.ts';

/** The server cannot be reached, refuses, or does not answer as a file server must. */
export class HttpFolderError extends Error {
  override name = 'HttpFolderError';
}

/** Bytes. A server without Range support sends whole files: bearable for a config.json, not for weights. */
const WHOLE_FILE_CAP = 32 * 2 ** 20;

export interface HttpFolderOptions {
  /** Shown instead of the address's last part. */
  readonly name?: string;
  readonly signal?: AbortSignal;
}

/** The folder at `url`. Nothing is requested before a file is opened; each file is asked for once. */
export function httpFolder(url: string, options: HttpFolderOptions = {}): Folder {
  const base = new URL(url.endsWith('/') ? url : `${url}/`);
  const name = options.name ?? decodeURIComponent(base.pathname.split('/').filter(Boolean).at(-1) ?? base.host);
  const files = new Map<string, Promise<RangeSource>>();
  const open = (path: string): Promise<RangeSource> => {
    let file = files.get(path);
    if (!file) {
      file = openHttpFile(base, name, path, options.signal);
      files.set(path, file);
      // A file that could not be opened is asked for again next time.
      file.catch(() => files.delete(path));
    }
    return file;
  };
  return {
    name,
    open,
    async has(path) {
      try {
        await open(path);
        return true;
      } catch (error) {
        if (error instanceof FileMissingError) return false;
        throw error;
      }
    },
  };
}

/** Paths come from checkpoints' indexes: each part is encoded, and none may lead out of the folder. */
function fileUrl(base: URL, path: string): URL {
  const parts = path.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new HttpFolderError(`${JSON.stringify(path)} is not a path below a folder.`);
  }
  return new URL(parts.map(encodeURIComponent).join('/'), base);
}

async function openHttpFile(base: URL, folder: string, path: string, signal?: AbortSignal): Promise<RangeSource> {
  const url = fileUrl(base, path);
  const name = `${folder}/${path}`;
  // One byte instead of HEAD: it also shows whether the server knows ranges, and redirects stay redirects.
  const response = await request(url, name, 'bytes=0-0', signal);
  switch (response.status) {
    case 200:
      return wholeFile(name, response);
    case 206: {
      await response.body?.cancel();
      const size = contentRangeSize(response) ?? (await headSize(url, name, signal));
      return rangedFile(name, url, size, response.headers.get('etag'), signal);
    }
    case 404:
    case 410:
      await response.body?.cancel();
      throw new FileMissingError(folder, path);
    case 416: {
      // No first byte: the file is empty.
      await response.body?.cancel();
      return bytesSource(name, new Uint8Array(0));
    }
    default:
      await response.body?.cancel();
      throw refused(name, response);
  }
}

/** The answer of a server that ignores Range: small files are kept, large ones would be downloaded again each time. */
async function wholeFile(name: string, response: Response): Promise<RangeSource> {
  const announced = Number(response.headers.get('content-length') ?? Number.NaN);
  const tooLarge = (size: string) =>
    new HttpFolderError(
      `The server does not answer Range requests, and ${name} (${size}) is too large to be read whole. ` +
        'Serve the folder with a server that supports Range requests.',
    );
  if (announced > WHOLE_FILE_CAP) {
    await response.body?.cancel();
    throw tooLarge(`${announced} bytes`);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Read by chunks, because content-length may be absent or that of a compressed body.
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > WHOLE_FILE_CAP) throw tooLarge(`more than ${WHOLE_FILE_CAP} bytes`);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytesSource(name, bytes);
}

function bytesSource(name: string, bytes: Uint8Array<ArrayBuffer>): RangeSource {
  return {
    name,
    size: bytes.length,
    async read(begin, end) {
      checkRange(name, bytes.length, begin, end);
      return bytes.slice(begin, end);
    },
  };
}

function rangedFile(name: string, url: URL, size: number, etag: string | null, signal?: AbortSignal): RangeSource {
  return {
    name,
    size,
    async read(begin, end) {
      checkRange(name, size, begin, end);
      if (begin === end) return new Uint8Array(0);
      const response = await request(url, name, `bytes=${begin}-${end - 1}`, signal);
      if (response.status !== 206) {
        await response.body?.cancel();
        throw refused(name, response);
      }
      if (etag !== null && response.headers.get('etag') !== etag) {
        await response.body?.cancel();
        throw new HttpFolderError(`${name} has changed on the server while it was read. Start again.`);
      }
      let bytes: Uint8Array<ArrayBuffer>;
      try {
        bytes = new Uint8Array(await response.arrayBuffer());
      } catch (error) {
        throw unreachable(name, error, signal);
      }
      if (bytes.length !== end - begin) {
        throw new HttpFolderError(
          `The server sent ${bytes.length} of the ${end - begin} bytes asked of ${name}. Check the connection and start again.`,
        );
      }
      return bytes;
    },
  };
}

function checkRange(name: string, size: number, begin: number, end: number): void {
  if (!(Number.isSafeInteger(begin) && Number.isSafeInteger(end) && 0 <= begin && begin <= end && end <= size)) {
    throw new RangeError(`Bytes [${begin}, ${end}) are outside ${name} of ${size} bytes.`);
  }
}

async function request(url: URL, name: string, range: string, signal?: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, { headers: { range }, signal });
  } catch (error) {
    throw unreachable(name, error, signal);
  }
}

/** For servers whose CORS rules hide Content-Range from a page. */
async function headSize(url: URL, name: string, signal?: AbortSignal): Promise<number> {
  const response = await fetch(url, { method: 'HEAD', signal }).catch((error: unknown) => {
    throw unreachable(name, error, signal);
  });
  const size = Number(response.headers.get('content-length') ?? Number.NaN);
  if (response.ok && Number.isSafeInteger(size)) return size;
  throw new HttpFolderError(`The server does not tell the size of ${name}. Serve the folder with another server.`);
}

function contentRangeSize(response: Response): number | undefined {
  const size = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
  return size === undefined ? undefined : Number(size);
}

function refused(name: string, response: Response): HttpFolderError {
  const advice =
    response.status === 401 || response.status === 403
      ? 'Sign in, or ask for access to the model.'
      : 'Try again later, and check the address.';
  return new HttpFolderError(`The server answered ${response.status} ${response.statusText} for ${name}. ${advice}`);
}

function unreachable(name: string, error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return new HttpFolderError(`${name} cannot be read (${detail}). Check the connection and start again.`);
}
