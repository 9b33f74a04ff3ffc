/** The Hub's client in a page of its own, under the studio's policy: what Node's fetch does not enforce. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright';
import { build } from 'vite';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { chromiumFlags } from '../../src/cli/chromium_flags.ts';
import { securityHeaders } from '../../src/hub/hosts.ts';
import { startHub, type TestHub } from './server.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const ID = 'nibble/gated';
const TOKEN = 'hf_good';
const WEIGHTS = 'weights.bin';
const SIZE = 5_000_000;
const CONTENT = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) >>> 7);

const PAGE = '<!doctype html><title>Hub</title><script type="module" src="/page.js"></script>';
const ENTRY = "import * as hub from './hub.js'; globalThis.hub = hub;";

let browser: Browser;
let script: string;
let server: Server;
let hub: TestHub;
let page: Page;

beforeAll(async () => {
  const built = await build({
    root: ROOT,
    configFile: false,
    logLevel: 'error',
    build: { write: false, minify: false, lib: { entry: 'src/hub/model_folder.ts', formats: ['es'], fileName: 'hub' } },
  });
  const [{ output }] = built as unknown as [{ output: [{ code: string }] }];
  script = output[0].code;
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: chromiumFlags('swiftshader') });
}, 60_000);
afterAll(() => browser?.close());

beforeEach(async () => {
  const files = { [WEIGHTS]: CONTENT, 'config.json': '{}' };
  hub = await startHub({ repositories: [{ id: ID, files, gated: [TOKEN] }] });
  server = createServer((request, response) => {
    const isScript = request.url?.endsWith('.js');
    const headers = securityHeaders({ extraConnect: [hub.apiUrl, hub.cdnUrl] });
    response.writeHead(200, { ...headers, 'content-type': isScript ? 'text/javascript' : 'text/html' });
    response.end({ '/hub.js': script, '/page.js': ENTRY }[request.url ?? ''] ?? PAGE);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});
afterEach(async () => {
  await page.close();
  server.closeAllConnections();
  server.close();
  await hub.close();
});

/** Reads the weights in pieces in the page and returns their SHA-256, or the error's name. */
async function readInPage(token: string | null): Promise<string> {
  const read = async ({
    hubUrl,
    id,
    weights,
    key,
  }: {
    hubUrl: string;
    id: string;
    weights: string;
    key: string | null;
  }) => {
    const { openHubFolder } = (globalThis as unknown as { hub: typeof import('../../src/hub/model_folder.ts') }).hub;
    try {
      const folder = await openHubFolder({ id, hubUrl, token: () => key, retry: { baseSeconds: 0.01 } });
      const file = await folder.open(weights);
      const whole = new Uint8Array(file.size);
      await (await folder.open('config.json')).read(0, 2);
      for (let at = 0; at < file.size; at += 800_000) {
        whole.set(await file.read(at, Math.min(at + 800_000, file.size)), at);
      }
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
      return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    } catch (error) {
      return (error as Error).name;
    }
  };
  await page.waitForFunction('globalThis.hub');
  return page.evaluate(read, { hubUrl: hub.apiUrl, id: ID, weights: WEIGHTS, key: token });
}

const expected = () => hub.repository(ID).head.files.get(WEIGHTS)!.oid;
const preflights = () =>
  hub.log.entries.filter(({ origin, method }) => origin === 'cdn' && method === 'OPTIONS').length;

it('reads a gated model across origins: preflights, redirects and ranges as a page sends them', async () => {
  expect(await readInPage(null)).toBe('GatedModelError');
  hub.log.clear();
  hub.faults.add({ path: WEIGHTS, cutAtFraction: 0.8 });
  expect(await readInPage(TOKEN)).toBe(expected());
  hub.log.expectTokenOnlyAtApi(TOKEN);
  hub.log.expectEachByteOnce([WEIGHTS]);
  expect(hub.log.reads(WEIGHTS).some(({ ifRange }) => ifRange !== null)).toBe(true);
  expect(preflights()).toBeGreaterThan(0);
});

it('does without If-Range where the storage answers no preflight', async () => {
  hub.faults.refusePreflights = true;
  expect(await readInPage(TOKEN)).toBe(expected());
  expect(preflights()).toBe(1);
  hub.log.expectEachByteOnce([WEIGHTS]);
});

it('cannot reach a host that the policy does not name', async () => {
  const reached = (url: string) =>
    page.evaluate(
      (address) =>
        fetch(address).then(
          () => true,
          () => false,
        ),
      url,
    );
  const other = `http://localhost:${new URL(hub.apiUrl).port}/api/models`;
  expect([await reached(`${hub.apiUrl}/api/models`), await reached(other)]).toEqual([true, false]);
});
