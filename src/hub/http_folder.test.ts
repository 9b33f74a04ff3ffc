import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FileMissingError, readText } from '../formats/range_source.ts';
import { HttpFolderError, httpFolder } from './http_folder.ts';

const DATA = Uint8Array.from({ length: 100 }, (_, i) => i);

/** What the server does with a request; each test sets its own. */
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let asked: string[];
let server: Server;
let base: string;

beforeEach(async () => {
  asked = [];
  answer = ranged(DATA);
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.range ?? ''}`.trim());
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/tiny%20one`;
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** A well-behaved file server with one file at every address. */
function ranged(data: Uint8Array, etag = '"1"') {
  return ({ headers }: IncomingMessage, response: ServerResponse) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    const begin = Number(from);
    const end = Math.min(Number(to) + 1, data.length);
    if (begin >= data.length) return response.writeHead(416, { 'content-range': `bytes */${data.length}` }).end();
    const range = { 'content-range': `bytes ${begin}-${end - 1}/${data.length}`, etag };
    return response.writeHead(206, range).end(data.subarray(begin, end));
  };
}

it('opens with one byte, reads what is asked for, and asks once for a file', async () => {
  const folder = httpFolder(base);
  expect(folder.name).toBe('tiny one');
  expect(await folder.has('a b/weights#1.bin')).toBe(true);
  const file = await folder.open('a b/weights#1.bin');
  expect([file.name, file.size]).toEqual(['tiny one/a b/weights#1.bin', 100]);
  expect([...(await file.read(10, 13))]).toEqual([10, 11, 12]);
  expect(await file.read(7, 7)).toHaveLength(0);
  const url = '/models/tiny%20one/a%20b/weights%231.bin';
  expect(asked).toEqual([`GET ${url} bytes=0-0`, `GET ${url} bytes=10-12`]);
  await expect(file.read(90, 101)).rejects.toThrow(RangeError);
});

it('knows missing and empty files', async () => {
  answer = (_, response) => response.writeHead(404).end('no');
  const folder = httpFolder(base);
  expect(await folder.has('absent')).toBe(false);
  await expect(folder.open('absent')).rejects.toThrow(FileMissingError);
  answer = ranged(new Uint8Array(0));
  expect((await httpFolder(base).open('empty')).size).toBe(0);
});

it('keeps a small file of a server without ranges, and refuses a large one', async () => {
  answer = (_, response) => response.writeHead(200).end('{"a": 1}');
  const folder = httpFolder(base);
  expect(await readText(folder, 'config.json', 100)).toBe('{"a": 1}');
  expect(asked).toHaveLength(1);
  answer = (_, response) => response.writeHead(200, { 'content-length': 40_000_000 }).write('x');
  await expect(httpFolder(base).open('weights')).rejects.toThrow(/does not answer Range requests/);
  answer = (_, response) => response.writeHead(200).end(new Uint8Array(40_000_000));
  await expect(httpFolder(base).open('weights')).rejects.toThrow(/too large to be read whole/);
});

it('names what the server refuses, and what changes under the reader', async () => {
  answer = (_, response) => response.writeHead(403).end();
  await expect(httpFolder(base).open('gated')).rejects.toThrow(/answered 403 .*Sign in/);
  answer = (_, response) => response.writeHead(503).end();
  await expect(httpFolder(base).has('busy')).rejects.toThrow(/answered 503 .*Try again later/);
  answer = ranged(DATA);
  const file = await httpFolder(base).open('weights');
  answer = ranged(DATA, '"2"');
  await expect(file.read(0, 4)).rejects.toThrow(/has changed on the server/);
});

it('notices an answer that is too short and a connection that breaks', async () => {
  const file = await httpFolder(base).open('weights');
  answer = (_, response) =>
    response.writeHead(206, { 'content-range': 'bytes 0-9/100', etag: '"1"' }).end(DATA.subarray(0, 4));
  await expect(file.read(0, 10)).rejects.toThrow(/sent 4 of the 10 bytes/);
  answer = (request) => request.socket.destroy();
  await expect(file.read(0, 10)).rejects.toThrow(HttpFolderError);
});

it('asks HEAD for the size where the range’s header is hidden', async () => {
  answer = (request, response) => {
    if (request.method === 'HEAD') response.writeHead(200, { 'content-length': 100 }).end();
    else response.writeHead(206).end(DATA.subarray(0, 1));
  };
  expect((await httpFolder(base).open('weights')).size).toBe(100);
});

it('never leaves the folder', async () => {
  await expect(httpFolder(base).open('../other/weights')).rejects.toThrow(HttpFolderError);
  await expect(httpFolder(base).open('/etc/passwd')).rejects.toThrow(HttpFolderError);
  expect(asked).toEqual([]);
});

it('passes an abort on as it is', async () => {
  const controller = new AbortController();
  const folder = httpFolder(base, { signal: controller.signal });
  controller.abort();
  await expect(folder.open('weights')).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
});
