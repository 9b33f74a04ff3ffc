/** A download that is killed at random bytes and started again: how many bytes are asked for twice, and what comes of it. */
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startHub, type TestHub } from '../../e2e/hub/server.ts';
import { VirtualFile } from '../../e2e/hub/virtual_file.ts';
import { openHubFolder } from '../hub/model_folder.ts';
import { RangeSet } from '../hub/ranges.ts';
import type { Spool } from '../hub/spool.ts';
import { DownloadSpool, PIECE_BYTES } from '../storage/download_spool.ts';
import { MemoryDisk } from '../storage/memory_disk.ts';
import { FaultyDisk } from '../storage/testing/faulty_disk.ts';

const ID = 'nibble/large';
const WEIGHTS = 'model.safetensors';
const SIZE = 24_000_000;
/** As a layer's slab: kept whole, or not. */
const SECTION = 3_000_000;
/** Read at a time, as tensors are. */
const CHUNK = 400_000;
const CONTENT = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) >>> 7);
const SHA = createHash('sha256').update(CONTENT).digest('hex');
/** Requests at a time. */
const CONNECTIONS = 6;

let hub: TestHub;
beforeEach(async () => {
  hub = await startHub({ repositories: [{ id: ID, files: { [WEIGHTS]: CONTENT } }] });
});
afterEach(() => hub.close());

/** What outlives a tab: the sections and the spool's disk. */
class Machine {
  readonly sections: Uint8Array[] = [];
  readonly disk = new MemoryDisk();
  /** All that ever arrived, and how many bytes did again. */
  readonly arrived = new RangeSet();
  again = 0;

  get sha(): string {
    return createHash('sha256').update(Buffer.concat(this.sections)).digest('hex');
  }

  /** A tab that loads until it ends, or is killed after so many bytes. */
  async tab({ kill = Number.POSITIVE_INFINITY, spooling = true } = {}): Promise<void> {
    const controller = new AbortController();
    const folder = await openHubFolder({ id: ID, hubUrl: hub.apiUrl, signal: controller.signal });
    const disk = new FaultyDisk(this.disk, 'kill', Number.POSITIVE_INFINITY, Math.random);
    const spool = await DownloadSpool.open(disk);
    let left = kill;
    let dead = false;
    const counting: Spool = {
      pieces: (path) => (spooling ? spool.pieces(path) : []),
      read: (path, piece) => spool.read(path, piece as never),
      keep: (path, offset, bytes, etag) => {
        if (dead) return;
        const alive = Math.min(left, bytes.byteLength);
        this.again += alive - this.arrived.add(offset, offset + alive);
        if (spooling) spool.keep(path, offset, bytes.subarray(0, alive), etag);
        left -= alive;
        if (left > 0) return;
        // Nothing that this tab does from here on reaches the disk or the network.
        dead = true;
        disk.kill();
        controller.abort(new Error('killed'));
      },
      end: (path, offset) => void (!dead && spool.end(path, offset)),
      forget: (path) => spool.forget(path),
    };
    folder.keepIn(counting);
    try {
      const file = await folder.open(WEIGHTS);
      for (let begin = this.sections.length * SECTION; begin < SIZE; begin += SECTION) {
        const end = Math.min(SIZE, begin + SECTION);
        const parts: Uint8Array[] = [];
        for (let at = begin; at < end; at += CHUNK) parts.push(await file.read(at, Math.min(end, at + CHUNK)));
        if (dead) return;
        this.sections.push(Buffer.concat(parts));
        await spool.release((path, from, to) => folder.wasRead(path, from, to));
      }
      await spool.close();
    } catch (error) {
      if (!dead) throw error;
    } finally {
      folder.close();
    }
  }
}

describe('a download', () => {
  it('that is not killed is asked for once, and leaves nothing behind (control)', async () => {
    const machine = new Machine();
    await machine.tab();
    expect(machine.sha).toBe(SHA);
    expect(machine.again).toBe(0);
    expect((await machine.disk.records()).size).toBe(0);
    hub.log.expectEachByteOnce([WEIGHTS]);
  });

  it('that is killed at random bytes goes on from them', async () => {
    const machine = new Machine();
    let kills = 0;
    for (; machine.sections.length * SECTION < SIZE && kills < 100; kills++) {
      const before = machine.again;
      await machine.tab({ kill: Math.floor(Math.random() * 5_000_000) + 1 });
      // A piece of each connection at the most, and what the tab before had not yet written.
      expect(machine.again - before).toBeLessThanOrEqual(2 * CONNECTIONS * PIECE_BYTES);
    }
    expect(kills).toBeGreaterThan(4);
    expect(machine.sha).toBe(SHA);
  });

  it('without a spool asks again for all that was in no section (control)', async () => {
    const machine = new Machine();
    // Less than a section.
    for (let i = 0; i < 3; i++) await machine.tab({ kill: SECTION - 1, spooling: false });
    expect(machine.sections).toHaveLength(0);
    expect(machine.again).toBeGreaterThan(SECTION);
  });

  it('begins anew where the file is another one now: nothing of both is mixed', async () => {
    const machine = new Machine();
    await machine.tab({ kill: 2_000_000 });
    const { size } = await machine.disk.records();
    expect(size).toBeGreaterThan(0);
    const other = CONTENT.map((byte) => byte ^ 0xff);
    hub.faults.replaceFile(WEIGHTS, new VirtualFile([{ bytes: other }]));
    // Some of it was used by then: the load says so, and the next one has forgotten it.
    await machine.tab().catch((error: Error) => expect(error.name).toBe('ModelChangedError'));
    machine.sections.splice(0);
    await machine.tab();
    expect(machine.sha).toBe(createHash('sha256').update(other).digest('hex'));
  });

  it('whose kept bytes were damaged on the disk asks for them again', async () => {
    const machine = new Machine();
    await machine.tab({ kill: 2_900_000 });
    const [first] = [...(await machine.disk.records()).values()].map((text) => JSON.parse(text));
    const byte = (await machine.disk.read(first.at + 5, 1))[0];
    await machine.disk.write(first.at + 5, Uint8Array.of(byte ^ 1));
    const before = machine.again;
    await machine.tab();
    expect(machine.again - before).toBeGreaterThanOrEqual(first.end - first.begin);
    expect(machine.sha).toBe(SHA);
  });
});

it('writes the records of what came meanwhile at once: a slow disk for them does not slow the bytes', async () => {
  const disk = new MemoryDisk();
  const put = disk.putRecords.bind(disk);
  let calls = 0;
  disk.putRecords = async (records) => {
    calls++;
    await new Promise((resolve) => setTimeout(resolve, 30));
    await put(records);
  };
  const spool = await DownloadSpool.open(disk);
  const pieces = 40;
  spool.keep(WEIGHTS, 0, CONTENT.subarray(0, pieces * PIECE_BYTES), null);
  await spool.close();
  expect(calls).toBeLessThan(pieces / 2);
  const again = await DownloadSpool.open(disk);
  expect(again.pieces(WEIGHTS)).toHaveLength(pieces);
});
