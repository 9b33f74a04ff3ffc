import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { TestHub } from '../../e2e/hub/server.ts';
import { textFile, VirtualFile } from '../../e2e/hub/virtual_file.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readText } from '../formats/range_source.ts';
import { NotAModelFileError } from '../formats/safetensors.ts';
import { HubAnswerError, HubBusyError, ModelChangedError, OfflineError } from './errors.ts';
import { PauseGate } from './gate.ts';
import type { HubFolder } from './model_folder.ts';
import type { RetryNotice } from './retry.ts';
import {
  MODEL_ID,
  openQuickly,
  quickRetry,
  readAllTensors,
  SHARDED_MODEL,
  SYNTHETIC_CONFIG,
  sha256,
  startTestHub,
} from './testing.ts';

let hub: TestHub;
afterEach(() => hub?.close());

const SHARDS = readdirSync(SHARDED_MODEL).filter((name) => name.endsWith('.safetensors'));
const SHARD = SHARDS[0]!;
const ON_DISK = readFileSync(path.join(SHARDED_MODEL, SHARD));
const LARGE = 'nibble/synthetic';
const WEIGHTS = 'model.safetensors';

/** A model whose weights, some 5 MB, are more than one segment of the read-ahead. */
const largeModel = {
  repositories: [{ id: LARGE, synthetic: { config: SYNTHETIC_CONFIG, dtype: 'BF16' as const, seed: 3 } }],
};
const largeContent = () => hub.repository(LARGE).head.files.get(WEIGHTS)!.content;

async function readWhole(folder: HubFolder, name: string, step?: number): Promise<string> {
  const file = await folder.open(name);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < file.size; at += step ?? file.size) {
    parts.push(await file.read(at, Math.min(file.size, at + (step ?? file.size))));
  }
  return sha256(Buffer.concat(parts));
}

it('goes on by range where the connection was cut at 80 %; without a cut, one request does', async () => {
  hub = await startTestHub(largeModel);
  const expected = sha256(await largeContent().bytes());
  const { size } = largeContent();
  expect(await readWhole(await openQuickly(hub, { id: LARGE }), WEIGHTS)).toBe(expected);
  expect(hub.log.reads(WEIGHTS).map(({ range }) => range)).toEqual([`bytes=0-${size - 1}`]);
  hub.log.clear();
  hub.faults.add({ cutAtFraction: 0.8, path: WEIGHTS });
  const retries: RetryNotice[] = [];
  expect(await readWhole(await openQuickly(hub, { id: LARGE }, retries), WEIGHTS)).toBe(expected);
  const reads = hub.log.reads(WEIGHTS);
  expect(reads.map(({ range }) => range)).toEqual([
    `bytes=0-${size - 1}`,
    `bytes=${Math.floor(size * 0.8)}-${size - 1}`,
  ]);
  // The second one goes straight to the storage, with what says whether the file is still the same.
  expect(reads[1]?.ifRange).toBe(`"${hub.repository(LARGE).head.files.get(WEIGHTS)?.oid}"`);
  hub.log.expectEachByteOnce([WEIGHTS]);
  expect(retries).toEqual([{ attempt: 1, seconds: 0, reason: expect.stringContaining('was cut') }]);
});

it('survives many cuts as long as there is progress, and gives up when there is none', async () => {
  hub = await startTestHub(largeModel);
  const expected = sha256(await largeContent().bytes());
  hub.faults.add({ origin: 'cdn', cutAfterBytes: 400_000, times: 9 });
  expect(await readWhole(await openQuickly(hub, { id: LARGE }), WEIGHTS)).toBe(expected);
  hub.log.expectEachByteOnce([WEIGHTS]);
  const fault = hub.faults.add({ origin: 'cdn', cutAfterBytes: 10, times: 1000 });
  await expect(readWhole(await openQuickly(hub, { id: LARGE }), WEIGHTS)).rejects.toThrow(OfflineError);
  expect(fault.hits).toBe(7);
});

it('takes a connection that sends nothing for a cut one', async () => {
  hub = await startTestHub();
  hub.faults.add({ path: SHARD, stallAfterBytes: 65_536 });
  hub.faults.add({ path: SHARD, stallAfterBytes: 0 });
  const retries: RetryNotice[] = [];
  const folder = await openQuickly(hub, { retry: quickRetry({ stallSeconds: 0.2 }) }, retries);
  expect(await readWhole(folder, SHARD)).toBe(sha256(ON_DISK));
  expect(retries).toHaveLength(2);
  hub.log.expectEachByteOnce([SHARD]);
});

it('begins again when the ETag changes before anything was used; control: the same ETag', async () => {
  hub = await startTestHub(largeModel);
  const expected = sha256(await largeContent().bytes());
  const { size } = largeContent();
  hub.faults.add({ cutAtFraction: 0.8, path: WEIGHTS });
  let cut = 0;
  const folder = await openQuickly(hub, {
    id: LARGE,
    onRetry: () => {
      cut += 1;
      hub.faults.changeEtag(WEIGHTS);
    },
  });
  expect(await readWhole(folder, WEIGHTS)).toBe(expected);
  expect(cut).toBe(1);
  // If-Range made the storage answer 200 with the new file; that answer is left and the range begun again.
  expect(hub.log.reads(WEIGHTS).map(({ status, range }) => [status, range])).toEqual([
    [206, `bytes=0-${size - 1}`],
    [200, `bytes=${Math.floor(size * 0.8)}-${size - 1}`],
    [206, `bytes=0-${size - 1}`],
  ]);
});

describe('another file in the place of the one that was begun', () => {
  const other = (size: number) => new VirtualFile([{ seed: 99, size, dtype: 'BF16' }]);

  /** Cut at 80 %, where the file may be replaced; what was then read of it, hashed. */
  async function readAcross(replacement: VirtualFile | null): Promise<string> {
    hub.faults.add({ cutAtFraction: 0.8, path: WEIGHTS });
    const onRetry = () => replacement && hub.faults.replaceFile(WEIGHTS, replacement);
    return readWhole(await openQuickly(hub, { id: LARGE, onRetry }), WEIGHTS);
  }

  for (const ignored of [false, true]) {
    it(`of other bytes is read from its start: none of the old ones stay${ignored ? ', also where If-Range is ignored' : ''}`, async () => {
      hub = await startTestHub(largeModel);
      hub.faults.ignoreIfRange = ignored;
      const { size } = largeContent();
      expect(await readAcross(other(size))).toBe(await other(size).sha256);
      expect(hub.log.reads(WEIGHTS).map(({ status, begin }) => [status, begin])).toEqual([
        [206, 0],
        ignored ? [206, Math.floor(size * 0.8)] : [200, 0],
        [206, 0],
      ]);
    });
  }

  it.each([1000, -1000])(
    'of another length (%i bytes) is not that model: said, and read whole when begun again',
    async (more) => {
      hub = await startTestHub(largeModel);
      const replacement = other(largeContent().size + more);
      await expect(readAcross(replacement)).rejects.toThrow(ModelChangedError);
      expect(await readWhole(await openQuickly(hub, { id: LARGE }), WEIGHTS)).toBe(await replacement.sha256);
    },
  );

  it('control: the same file goes on where it was cut', async () => {
    hub = await startTestHub(largeModel);
    const { size } = largeContent();
    expect(await readAcross(null)).toBe(await largeContent().sha256);
    expect(hub.log.reads(WEIGHTS).map(({ status, begin }) => [status, begin])).toEqual([
      [206, 0],
      [206, Math.floor(size * 0.8)],
    ]);
  });
});

it('says that a file changed once some of it was used; control: unchanged', async () => {
  hub = await startTestHub(largeModel);
  const file = await (await openQuickly(hub, { id: LARGE })).open(WEIGHTS);
  await file.read(0, 8);
  expect(await file.read(1_000_000, 1_000_100)).toHaveLength(100);
  hub.faults.changeEtag(WEIGHTS);
  await expect(file.read(3_000_000, 3_000_100)).rejects.toThrow(ModelChangedError);
  await expect(file.read(3_000_000, 3_000_100)).rejects.toThrow(/Start the download again/);
  // Starting again works.
  expect(await readWhole(await openQuickly(hub, { id: LARGE }), WEIGHTS)).toBe(sha256(await largeContent().bytes()));
});

it('gives up on a file whose ETag is another each time', async () => {
  hub = await startTestHub(largeModel);
  hub.faults.add({ origin: 'cdn', cutAfterBytes: 1_000_000, times: 100 });
  const onRetry = () => hub.faults.changeEtag(WEIGHTS);
  await expect(readWhole(await openQuickly(hub, { id: LARGE, onRetry }), WEIGHTS)).rejects.toThrow(ModelChangedError);
});

it('asks the Hub again when a signed address has expired; control: it holds', async () => {
  hub = await startTestHub(largeModel);
  const expected = sha256(await largeContent().bytes());
  const resolved = () => hub.log.entries.filter(({ status }) => status === 302).length;
  expect(await readWhole(await openQuickly(hub, { id: LARGE }), WEIGHTS, 2 ** 20)).toBe(expected);
  expect(resolved()).toBe(1);
  hub.log.clear();
  const folder = await openQuickly(hub, { id: LARGE });
  const file = await folder.open(WEIGHTS);
  const parts = [await file.read(0, 2_000_000)];
  hub.faults.expireSignatures();
  parts.push(await file.read(2_000_000, file.size));
  expect(sha256(Buffer.concat(parts))).toBe(expected);
  expect(resolved()).toBe(2);
  expect(hub.log.entries.filter(({ status }) => status === 403)).toHaveLength(1);
  hub.log.expectEachByteOnce([WEIGHTS]);
});

it('asks through the Hub each time where addresses hold for one request only', async () => {
  hub = await startTestHub(largeModel);
  const file = await (await openQuickly(hub, { id: LARGE })).open(WEIGHTS);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < file.size; at += 500_000) {
    parts.push(await file.read(at, Math.min(at + 500_000, file.size)));
    hub.faults.expireSignatures();
  }
  expect(sha256(Buffer.concat(parts))).toBe(sha256(await largeContent().bytes()));
  expect(hub.log.entries.filter(({ status }) => status === 403)).toHaveLength(2);
});

it('waits as long as a 429 says, and backs off from 5xx, within bounds', async () => {
  hub = await startTestHub();
  const retries: RetryNotice[] = [];
  const waited: number[] = [];
  const sleep = async (seconds: number) => void waited.push(seconds);
  const folder = await openQuickly(hub, { retry: quickRetry({ sleep }) }, retries);
  hub.faults.add({ origin: 'cdn', status: 429, retryAfter: 7 });
  hub.faults.add({ origin: 'cdn', status: 503, times: 3 });
  expect(await readWhole(folder, SHARD)).toBe(sha256(ON_DISK));
  expect(retries.map(({ attempt, seconds }) => [attempt, seconds])).toEqual([
    [1, 7],
    [2, 0.5],
    [3, 1],
    [4, 2],
  ]);
  expect(waited).toEqual(retries.map(({ seconds }) => seconds));
  hub.faults.clear();
  const endless = hub.faults.add({ origin: 'cdn', status: 503, times: 1000 });
  await expect(readWhole(folder, SHARDS[1]!)).rejects.toThrow(HubBusyError);
  expect(endless.hits).toBe(7);
  hub.faults.clear();
  // What was refused can be asked for again; and a wait beyond all patience is not begun.
  expect(await readWhole(folder, SHARDS[1]!)).toHaveLength(64);
  const late = hub.faults.add({ origin: 'cdn', status: 429, retryAfter: 3600 });
  await expect(readWhole(folder, SHARDS[2]!)).rejects.toThrow(/Try again in 60 min/);
  expect(late.hits).toBe(1);
});

it('retries the API too, less long', async () => {
  hub = await startTestHub();
  const once = hub.faults.add({ origin: 'api', path: '/api/models', status: 500, times: 2 });
  expect((await openQuickly(hub)).id).toBe(MODEL_ID);
  expect(once.hits).toBe(2);
  const endless = hub.faults.add({ origin: 'api', path: '/api/models', status: 500, times: 1000 });
  await expect(openQuickly(hub)).rejects.toThrow(HubBusyError);
  expect(endless.hits).toBe(4);
});

it('keeps a small file of a server that ignores ranges, and refuses a large one', async () => {
  const big = 'big.safetensors';
  hub = await startTestHub({
    repositories: [{ id: MODEL_ID, directory: SHARDED_MODEL, files: { [big]: new Uint8Array(33 * 2 ** 20) } }],
  });
  hub.faults.add({ path: SHARD, ignoreRange: true });
  expect(await readWhole(await openQuickly(hub), SHARD, 10_000)).toBe(sha256(ON_DISK));
  expect(hub.log.reads(SHARD).map(({ status }) => status)).toEqual([200]);
  const folder = await openQuickly(hub);
  const passing = hub.faults.add({ path: big, ignoreRange: true, times: 2 });
  expect(await (await folder.open(big)).read(5, 10)).toHaveLength(5);
  expect(passing.hits).toBe(2);
  hub.faults.add({ path: big, ignoreRange: true, times: 1000 });
  await expect((await folder.open(big)).read(30_000_000, 30_000_010)).rejects.toThrow(/ignores the range/);
});

it('is offline with a named error, and goes on when the network is back', async () => {
  hub = await startTestHub();
  const folder = await openQuickly(hub);
  hub.faults.offline = true;
  await expect(openQuickly(hub)).rejects.toThrow(OfflineError);
  await expect(readWhole(folder, SHARD)).rejects.toThrow(OfflineError);
  hub.faults.offline = false;
  expect(await readWhole(folder, SHARD)).toBe(sha256(ON_DISK));
});

it('refuses an LFS pointer, a web page and a file of another size; control: the file', async () => {
  const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4665a5ea423c\nsize 1234\n';
  const single = 'e2e/golden/llama-text/model';
  hub = await startTestHub({
    repositories: [
      { id: 'nibble/fine', directory: single },
      { id: 'nibble/pointer', directory: single, files: { [WEIGHTS]: pointer } },
    ],
  });
  await openCheckpoint(await openQuickly(hub, { id: 'nibble/fine' }));
  await expect(openCheckpoint(await openQuickly(hub, { id: 'nibble/pointer' }))).rejects.toThrow(/Git LFS pointer/);
  hub.faults.add({ origin: 'cdn', body: { text: '<!doctype html><p>Sign in', type: 'text/html' } });
  await expect(openCheckpoint(await openQuickly(hub, { id: 'nibble/fine' }))).rejects.toThrow(/web page \(HTML\)/);
  // A list that says one size, a storage that has another.
  const folder = await openQuickly(hub, { id: 'nibble/fine' });
  const stored = hub.repository('nibble/fine').head.files.get(WEIGHTS)!;
  Object.assign(stored, { content: textFile(pointer) });
  await expect(openCheckpoint(folder)).rejects.toThrow(NotAModelFileError);
  Object.assign(stored, { content: textFile('x'.repeat(5000)) });
  await expect(openCheckpoint(folder)).rejects.toThrow(ModelChangedError);
});

it('refuses an answer that is no JSON where the API should be', async () => {
  hub = await startTestHub();
  hub.faults.add({ origin: 'api', body: { text: '<!doctype html>', type: 'text/html' } });
  await expect(openQuickly(hub)).rejects.toThrow(/may stand in between/);
  hub.faults.add({ origin: 'api', body: { text: '{"sha": 5}', type: 'application/json' } });
  await expect(openQuickly(hub)).rejects.toThrow(HubAnswerError);
});

it('follows no link of the API to another origin', async () => {
  hub = await startTestHub();
  const elsewhere: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (!String(input).includes('/tree/')) return response;
    const headers = new Headers(response.headers);
    headers.set('link', `<${hub.cdnUrl}/next>; rel="next"`);
    return new Response(response.body, { headers });
  };
  await expect(openQuickly(hub, { fetch: elsewhere })).rejects.toThrow(/leads to/);
  expect(hub.log.entries.some(({ origin }) => origin === 'cdn')).toBe(false);
});

it('holds a download while it is paused and goes on where it was; control: without a pause', async () => {
  hub = await startTestHub(largeModel);
  const expected = sha256(await largeContent().bytes());
  const gate = new PauseGate();
  let paused = 0;
  const folder = await openQuickly(hub, {
    id: LARGE,
    gate,
    progressMs: 0,
    onProgress: ({ loadedBytes }) => {
      if (paused > 0 || loadedBytes < 1_000_000) return;
      gate.pause();
      paused = loadedBytes;
    },
  });
  let ended = false;
  const reading = readWhole(folder, WEIGHTS).finally(() => {
    ended = true;
  });
  while (paused === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect([ended, folder.progress.loadedBytes]).toEqual([false, paused]);
  const before = hub.log.reads(WEIGHTS).length;
  gate.resume();
  expect(await reading).toBe(expected);
  const [resumed, ...more] = hub.log.reads(WEIGHTS).slice(before);
  expect([resumed?.range, more]).toEqual([`bytes=${paused}-${largeContent().size - 1}`, []]);
});

it('is cancelled by the signal, paused or not, and asks for nothing more', async () => {
  hub = await startTestHub(largeModel);
  for (const hold of [false, true]) {
    const [gate, controller] = [new PauseGate(), new AbortController()];
    const folder = await openQuickly(hub, { id: LARGE, gate, signal: controller.signal });
    if (hold) gate.pause();
    else hub.faults.add({ origin: 'cdn', stallAfterBytes: 100_000 });
    const reading = readWhole(folder, WEIGHTS);
    setTimeout(() => controller.abort(), 50);
    await expect(reading).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
    const asked = hub.log.entries.length;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(hub.log.entries).toHaveLength(asked);
  }
});

it('does without If-Range where the storage answers no preflight', async () => {
  hub = await startTestHub(largeModel);
  // As a page's fetch behaves: a header that needs a preflight, which is refused.
  const page: typeof fetch = async (input, init) => {
    const foreign = String(input).startsWith(hub.cdnUrl);
    if (foreign && new Headers(init?.headers).has('if-range')) throw new TypeError('Failed to fetch');
    return fetch(input, init);
  };
  const retries: RetryNotice[] = [];
  const folder = await openQuickly(hub, { id: LARGE, fetch: page }, retries);
  expect(await readWhole(folder, WEIGHTS, 1_000_000)).toBe(sha256(await largeContent().bytes()));
  expect(retries).toHaveLength(1);
  // The answers' ETags are compared all the same.
  const file = await (await openQuickly(hub, { id: LARGE, fetch: page })).open(WEIGHTS);
  await file.read(0, 8);
  hub.faults.changeEtag(WEIGHTS);
  await expect(file.read(4_000_000, 4_000_010)).rejects.toThrow(ModelChangedError);
});

it('names no signed address and no token in what it says', async () => {
  hub = await startTestHub({ tokens: ['hf_secret'] });
  const said: string[] = [];
  const folder = await openQuickly(hub, {
    token: () => 'hf_secret',
    onRetry: ({ reason }) => said.push(reason),
  });
  const file = await folder.open(SHARD);
  for (const fault of [{ status: 503 }, { status: 403 }, { cutAfterBytes: 0 }, { status: 416 }, { drop: true }]) {
    hub.faults.add({ origin: 'cdn', times: 7, ...fault });
    said.push(String(await file.read(0, 8).catch((error: Error) => `${error.name} ${error.message}`)));
    hub.faults.clear();
  }
  expect(said.length).toBeGreaterThan(20);
  expect(said.filter((text) => /hf_|Signature|Expires=|\?/.test(text))).toEqual([]);
});

it('reads JSON files whatever the network does', async () => {
  hub = await startTestHub();
  const folder = await openQuickly(hub);
  hub.faults.add({ path: 'config.json', cutAfterBytes: 100 });
  hub.faults.add({ path: 'config.json', status: 502 });
  expect(JSON.parse(await readText(folder, 'config.json', 10_000))).toHaveProperty('model_type', 'qwen2');
  const hashes = await readAllTensors(await openCheckpoint(folder));
  expect(hashes.size).toBeGreaterThan(10);
});
