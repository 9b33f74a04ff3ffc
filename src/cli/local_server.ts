/** An HTTP server on this machine alone, with folders mounted below prefixes that nobody else can guess. */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { DiskServer, type OpenDisk } from './disk_server.ts';
import { plain, serveFile } from './static_files.ts';

export class PortInUseError extends Error {
  override name = 'PortInUseError';
}

export type UploadHandler = (path: string, bytes: Uint8Array<ArrayBuffer>) => void;

export class LocalServer {
  readonly #server: Server;
  readonly #mounts = new Map<string, string>();
  readonly #uploads = new Map<string, UploadHandler>();
  readonly #disks = new Map<string, DiskServer>();
  #rootHeaders: Readonly<Record<string, string>> = {};

  private constructor() {
    this.#server = createServer((request, response) => {
      void this.#answer(request, response).catch((error: Error) => {
        if (response.headersSent) response.destroy();
        else plain(response, 500, error.message);
      });
    });
  }

  /** Listens on 127.0.0.1; port 0 is any free one. Rejects with {@link PortInUseError}. */
  static async start(port = 0): Promise<LocalServer> {
    const local = new LocalServer();
    const server = local.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const inUse = error.code === 'EADDRINUSE';
        reject(
          inUse
            ? new PortInUseError(`Port ${port} is in use. Choose another with --port, or end what uses it.`)
            : error,
        );
      });
      server.listen(port, '127.0.0.1', resolve);
    });
    return local;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Serves a directory at `/`, with these headers on every answer. */
  mountRoot(directory: string, headers: Readonly<Record<string, string>> = {}): string {
    this.#mounts.set('', directory);
    this.#rootHeaders = headers;
    return `http://localhost:${this.port}/`;
  }

  /** Serves a directory below a prefix of its own; its address ends with the directory's name. */
  mount(directory: string): string {
    for (const [key, mounted] of this.#mounts) {
      if (key !== '' && mounted === directory) return this.#url(key, directory);
    }
    const key = randomBytes(16).toString('hex');
    this.#mounts.set(key, directory);
    return this.#url(key, directory);
  }

  /** An address below which `PUT` hands a body to `handler`. */
  receive(handler: UploadHandler): string {
    const key = randomBytes(16).toString('hex');
    this.#uploads.set(key, handler);
    return `http://127.0.0.1:${this.port}/${key}/`;
  }

  /** An address at which a page finds a page disk, which is opened when it asks for it. */
  serveDisk(open: OpenDisk): string {
    const key = randomBytes(16).toString('hex');
    this.#disks.set(key, new DiskServer(open));
    return `http://127.0.0.1:${this.port}/${key}/`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    for (const disk of this.#disks.values()) await disk.close();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #url(key: string, directory: string): string {
    return `http://127.0.0.1:${this.port}/${key}/${encodeURIComponent(nameOf(directory))}/`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let pathname: string;
    try {
      pathname = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname).slice(1);
    } catch {
      return plain(response, 400, 'The address is not valid.');
    }
    const [key = '', ...rest] = pathname.split('/');
    const upload = this.#uploads.get(key);
    if (upload && request.method === 'PUT') {
      upload(rest.join('/'), await readBody(request));
      response.writeHead(204).end();
      return;
    }
    const disk = this.#disks.get(key);
    if (disk && request.method === 'POST') {
      const { searchParams } = new URL(request.url ?? '/', 'http://localhost');
      const { status, body } = await disk.answer(rest.join('/'), searchParams, await readBody(request));
      response.writeHead(status).end(body);
      return;
    }
    const mounted = key === '' ? undefined : this.#mounts.get(key);
    if (mounted !== undefined && rest[0] === nameOf(mounted)) {
      return serveFile(mounted, rest.slice(1).join('/'), request, response);
    }
    const root = this.#mounts.get('');
    if (root !== undefined) {
      for (const [name, value] of Object.entries(this.#rootHeaders)) response.setHeader(name, value);
      return serveFile(root, pathname, request, response);
    }
    return plain(response, 404, 'There is nothing here.');
  }
}

/** Stands in the address after the key, so that messages name the folder. */
const nameOf = (directory: string) => path.basename(directory) || 'root';

async function readBody(request: IncomingMessage): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk as Uint8Array);
  const body = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}
