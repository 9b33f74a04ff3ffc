import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LocalServer, PortInUseError } from './local_server.ts';
import { parseRange } from './static_files.ts';

let server: LocalServer;
let directory: string;
let base: string;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'nibble-server-'));
  mkdirSync(path.join(directory, 'model'));
  writeFileSync(
    path.join(directory, 'model/ten.bin'),
    Uint8Array.from({ length: 10 }, (_, i) => i),
  );
  writeFileSync(path.join(directory, 'model/empty.bin'), '');
  writeFileSync(path.join(directory, 'model/index.html'), '<p>hello');
  writeFileSync(path.join(directory, 'secret.txt'), 'secret');
  server = await LocalServer.start();
  base = server.mount(path.join(directory, 'model'));
});

afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

/** The status of a path sent as it is: fetch would tidy it up. */
function rawStatus(pathname: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ port: server.port, host: '127.0.0.1', path: pathname }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
}

describe('LocalServer', () => {
  it('serves a file, a folder’s index.html and byte ranges', async () => {
    const whole = await fetch(`${base}ten.bin`);
    expect(whole.status).toBe(200);
    expect(whole.headers.get('content-type')).toBe('application/octet-stream');
    expect((await whole.arrayBuffer()).byteLength).toBe(10);
    const part = await fetch(`${base}ten.bin`, { headers: { range: 'bytes=3-5' } });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe('bytes 3-5/10');
    expect([...new Uint8Array(await part.arrayBuffer())]).toEqual([3, 4, 5]);
    const page = await fetch(base);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(await page.text()).toBe('<p>hello');
  });

  it('refuses a range past the end, any range of an empty file, and other methods', async () => {
    expect((await fetch(`${base}ten.bin`, { headers: { range: 'bytes=10-' } })).status).toBe(416);
    const empty = await fetch(`${base}empty.bin`, { headers: { range: 'bytes=0-0' } });
    expect([empty.status, empty.headers.get('content-range')]).toEqual([416, 'bytes */0']);
    expect((await fetch(`${base}ten.bin`, { method: 'POST' })).status).toBe(405);
  });

  it('answers 304 to who has the file already', async () => {
    const etag = (await fetch(`${base}ten.bin`)).headers.get('etag') ?? '';
    expect((await fetch(`${base}ten.bin`, { headers: { 'if-none-match': etag } })).status).toBe(304);
  });

  it('lets nobody out of a mounted folder, nor in without its prefix', async () => {
    const prefix = new URL(base).pathname;
    expect(await rawStatus(`${prefix}ten.bin`)).toBe(200);
    expect(await rawStatus(`${prefix}../secret.txt`)).toBe(404);
    expect(await rawStatus(`${prefix}..%2fsecret.txt`)).toBe(404);
    expect(await rawStatus(`${prefix}%2e%2e/secret.txt`)).toBe(404);
    expect(await rawStatus(`${prefix}${encodeURIComponent(path.join(directory, 'secret.txt'))}`)).toBe(404);
    expect(await rawStatus('/model/ten.bin')).toBe(404);
    expect(await rawStatus('/%zz')).toBe(400);
  });

  it('mounts a folder once, and takes uploads', async () => {
    expect(server.mount(path.join(directory, 'model'))).toBe(base);
    const received: [string, number][] = [];
    const uploads = server.receive((file, bytes) => received.push([file, bytes.length]));
    expect((await fetch(`${uploads}run/adapter.bin`, { method: 'PUT', body: new Uint8Array(5) })).status).toBe(204);
    expect(received).toEqual([['run/adapter.bin', 5]]);
  });

  it('says which port is in use', async () => {
    await expect(LocalServer.start(server.port)).rejects.toThrow(PortInUseError);
  });
});

describe('parseRange', () => {
  it.each([
    [undefined, null],
    ['bytes=0-0', [0, 1]],
    ['bytes=2-', [2, 10]],
    ['bytes=-3', [7, 10]],
    ['bytes=-30', [0, 10]],
    ['bytes=5-100', [5, 10]],
    ['bytes=9-9', [9, 10]],
    ['bytes=10-12', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-4', null],
    ['bytes=-', null],
    ['bytes=0-1,3-4', null],
    ['lines=1-2', null],
  ])('%s', (header, expected) => {
    expect(parseRange(header, 10)).toEqual(expected);
  });
});
