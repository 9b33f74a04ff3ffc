/** Answers GET and HEAD for the files of a directory, with byte ranges: for a page, a model folder, a test. */
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

const MIME_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.jsonl': 'application/jsonl; charset=utf-8',
  '.jinja': 'text/plain; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
};

/** `pathname` is the decoded path below `directory`, without a leading slash; a folder means its index.html. */
export async function serveFile(
  directory: string,
  pathname: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return plain(response, 405, 'Only GET and HEAD are answered here.', { allow: 'GET, HEAD' });
  }
  const file = await findFile(directory, pathname);
  if (!file) return plain(response, 404, 'There is no such file.');
  response.setHeader('accept-ranges', 'bytes');
  response.setHeader('content-type', MIME_TYPES[path.extname(file.full)] ?? 'application/octet-stream');
  response.setHeader('x-content-type-options', 'nosniff');
  // Files may change between two runs: a browser must ask each time.
  response.setHeader('cache-control', 'no-cache');
  response.setHeader('etag', file.etag);
  if (request.headers['if-none-match'] === file.etag && !request.headers.range) {
    response.writeHead(304).end();
    return;
  }
  const range = parseRange(request.headers.range, file.size);
  if (range === 'unsatisfiable') {
    return plain(response, 416, 'The range is outside the file.', { 'content-range': `bytes */${file.size}` });
  }
  const [begin, end] = range ?? [0, file.size];
  response.setHeader('content-length', end - begin);
  if (range) response.setHeader('content-range', `bytes ${begin}-${end - 1}/${file.size}`);
  response.writeHead(range ? 206 : 200);
  if (request.method === 'HEAD' || begin === end) {
    response.end();
    return;
  }
  // Rejects when the reader goes away in the middle; there is nobody left to tell.
  await pipeline(createReadStream(file.full, { start: begin, end: end - 1 }), response).catch(() => response.destroy());
}

async function findFile(directory: string, pathname: string) {
  if (pathname.includes('\0')) return null;
  // Only the path as asked is confined: a link inside the folder may point elsewhere (the Hub's cache is made of them).
  const asked = path.resolve(directory, pathname);
  if (asked !== path.resolve(directory) && !asked.startsWith(path.resolve(directory) + path.sep)) return null;
  for (const full of [asked, path.join(asked, 'index.html')]) {
    const found = await stat(full).catch(() => null);
    if (found?.isFile()) {
      return { full: await realpath(full), size: found.size, etag: `"${found.size}-${found.mtimeMs}"` };
    }
    if (!found?.isDirectory()) return null;
  }
  return null;
}

/** [begin, end) of a single byte range; null when there is none, or one that may be ignored (RFC 9110 §14.2). */
export function parseRange(header: string | undefined, size: number): [number, number] | 'unsatisfiable' | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return null;
  if (match[1] === '') {
    const suffix = Math.min(Number(match[2]), size);
    return suffix === 0 ? 'unsatisfiable' : [size - suffix, size];
  }
  const begin = Number(match[1]);
  const end = match[2] === '' ? size : Math.min(Number(match[2]) + 1, size);
  if (match[2] !== '' && Number(match[2]) < begin) return null;
  return begin >= size ? 'unsatisfiable' : [begin, end];
}

export function plain(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers }).end(`${text}\n`);
}
