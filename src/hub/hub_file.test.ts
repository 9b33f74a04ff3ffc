import { afterEach, beforeEach, expect, it } from 'vitest';
import { startHub, type TestHub } from '../../e2e/hub/server.ts';
import { type ConnectionOptions, HubConnection } from './connection.ts';
import { RemoteFile } from './download.ts';
import { HubBusyError } from './errors.ts';
import { HubFile, ReadBudget, SEGMENT_BYTES } from './hub_file.ts';
import { quickRetry, sha256 } from './testing.ts';

const ID = 'nibble/file';
const WEIGHTS = 'weights.bin';
const SIZE = 20_000_000;
const CONTENT = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) >>> 7);
let hub: TestHub;
let budget: ReadBudget;

beforeEach(async () => {
  hub = await startHub({ repositories: [{ id: ID, files: { [WEIGHTS]: CONTENT } }] });
});
afterEach(() => hub.close());

function open(over: { heldLimit?: number; requests?: number } & Partial<ConnectionOptions> = {}): HubFile {
  budget = new ReadBudget(over.heldLimit, over.requests);
  const connection = new HubConnection({ hubUrl: hub.apiUrl, retry: quickRetry(), ...over });
  const address = new URL(`${hub.apiUrl}/${ID}/resolve/main/${WEIGHTS}`);
  return new HubFile(connection, new RemoteFile(WEIGHTS, SIZE, address), budget, () => undefined);
}

const asked = () => hub.log.reads(WEIGHTS).map(({ range }) => range);

it('reads ahead a little at first, then more, and never what was fetched before', async () => {
  const file = open();
  expect(await file.read(1000, 1010)).toEqual(CONTENT.slice(1000, 1010));
  await file.read(1010, 5000);
  await file.read(500, 1000);
  await file.read(300_000, 300_001);
  await file.read(260_000, 300_000);
  const KIB = 1024;
  expect(asked()).toEqual([
    `bytes=1000-${1000 + 256 * KIB - 1}`,
    'bytes=500-999',
    `bytes=300000-${300_000 + 1024 * KIB - 1}`,
    `bytes=${1000 + 256 * KIB}-299999`,
  ]);
});

it('lets go of what was read, whatever the order, and never holds more than its budget', async () => {
  const file = open({ heldLimit: 3_000_000 });
  const step = 250_000;
  const order = Array.from({ length: SIZE / step }, (_, i) => (i * 37) % (SIZE / step));
  const parts: Uint8Array[] = [];
  let most = 0;
  for (const i of order) {
    parts[i] = await file.read(i * step, (i + 1) * step);
    most = Math.max(most, budget.held);
  }
  expect(sha256(Buffer.concat(parts))).toBe(sha256(CONTENT));
  hub.log.expectEachByteOnce([WEIGHTS]);
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(3_000_000 + step);
  expect(budget.held).toBe(0);
  expect(file.loadedBytes).toBe(SIZE);
});

it('shares a request between reads of the same bytes, each with a buffer of its own', async () => {
  const file = open();
  const [a, b, c] = await Promise.all([
    file.read(0, 3_000_000),
    file.read(0, 3_000_000),
    file.read(2_999_990, 3_000_010),
  ]);
  expect(a!.buffer).not.toBe(b!.buffer);
  expect([a!.length, a!.buffer.byteLength]).toEqual([3_000_000, 3_000_000]);
  expect(sha256(a!)).toBe(sha256(CONTENT.slice(0, 3_000_000)));
  expect(sha256(b!)).toBe(sha256(a!));
  expect(c).toEqual(CONTENT.slice(2_999_990, 3_000_010));
  hub.log.expectEachByteOnce([WEIGHTS]);
});

it('splits a long read into segments and runs no more requests than allowed', async () => {
  const loaded: number[] = [];
  const watched: typeof fetch = (input, init) => {
    loaded.push(file.loadedBytes);
    return fetch(input, init);
  };
  const file = open({ requests: 1, fetch: watched });
  expect(sha256(await file.read(0, SIZE))).toBe(sha256(CONTENT));
  expect(asked()).toEqual([`bytes=0-${SEGMENT_BYTES - 1}`, `bytes=${SEGMENT_BYTES}-${SIZE - 1}`]);
  // The second began when the first was complete.
  expect(loaded).toEqual([0, SEGMENT_BYTES]);
  expect(budget.held).toBe(0);
});

it('fetches all parts of a read again when the file changes between them', async () => {
  const file = open({ requests: 1, onRetry: () => hub.faults.changeEtag(WEIGHTS) });
  hub.faults.add({ origin: 'cdn', cutAtFraction: 0.9 });
  expect(sha256(await file.read(0, SIZE))).toBe(sha256(CONTENT));
  const complete = hub.log.reads(WEIGHTS).filter(({ status, begin }) => status === 206 && begin === 0);
  expect(complete.map(({ bytes }) => bytes)).toEqual([SEGMENT_BYTES, SEGMENT_BYTES]);
  expect([file.loadedBytes, budget.held]).toEqual([SIZE, 0]);
});

it('keeps what arrived before a failure, and fetches only the rest afterwards', async () => {
  const file = open();
  hub.faults.add({ origin: 'cdn', cutAfterBytes: 2_000_000 });
  hub.faults.add({ origin: 'cdn', status: 503, times: 100 });
  await expect(file.read(0, 4_000_000)).rejects.toThrow(HubBusyError);
  hub.faults.clear();
  expect(budget.held).toBe(2_000_000);
  expect(sha256(await file.read(0, 4_000_000))).toBe(sha256(CONTENT.slice(0, 4_000_000)));
  hub.log.expectEachByteOnce([WEIGHTS]);
  await file.read(5_000_000, 5_000_001);
  file.close();
  expect(budget.held).toBe(0);
});
