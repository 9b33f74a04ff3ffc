/** Which models make room, in which order, and which never do. */
import { describe, expect, it } from 'vitest';
import type { CachedModel } from '../storage/model_manifest.ts';
import { makeRoom } from './room.ts';
import type { EvictedModel } from './studio_protocol.ts';
import { VolatileStore } from './volatile_store.ts';

const GB = 1e9;

/** A disk of 10 GB that holds models of so many GB, used in this order; `b` is of a run, `c` of one that dropped a folder. */
class SmallDisk extends VolatileStore {
  readonly held: CachedModel[] = ['a', 'b', 'c', 'd', 'e'].map((key, i) => ({
    ...{ key, name: `model ${key}`, commit: null, used: i, bytes: GB, complete: key !== 'e', details: null },
  }));
  readonly locked = new Set<string>();
  other = 3 * GB;

  override async models() {
    return this.held as never;
  }

  override async runs() {
    const run = (name: string, modelKey: string, origin: object | null) => ({ name, details: { modelKey, origin } });
    return [run('poems', 'b', { kind: 'hub' }), run('letters', 'c', null)] as never;
  }

  override async estimate() {
    const usedBytes = this.other + this.held.reduce((sum, { bytes }) => sum + bytes, 0);
    return { usedBytes: usedBytes as never, quotaBytes: (10 * GB) as never, persisted: true };
  }

  override async deleteModel(key?: string) {
    if (this.locked.has(key!)) throw new DOMException('open elsewhere', 'NoModificationAllowedError');
    this.held.splice(
      this.held.findIndex((model) => model.key === key),
      1,
    );
  }
}

async function evict(bytes: number, inUse: readonly string[] = [], disk = new SmallDisk('for a test')) {
  const told: EvictedModel[] = [];
  const left = await makeRoom(disk, bytes, new Set(inUse), (models) => told.push(...models));
  return { left, told, kept: disk.held.map(({ key }) => key).join('') };
}

describe('room on the disk', () => {
  it('is there: nothing is deleted (control)', async () => {
    expect(await evict(2 * GB)).toEqual({ left: 2 * GB, told: [], kept: 'abcde' });
  });

  it('is made by the model that was used longest ago, and no more of them than needed', async () => {
    const { left, told, kept } = await evict(2.5 * GB);
    expect({ left, kept }).toEqual({ left: 3 * GB, kept: 'bcde' });
    expect(told).toEqual([{ name: 'model a', bytes: GB, runs: [] }]);
  });

  it('is not made by the model in use', async () => {
    expect((await evict(2.5 * GB, ['a'])).kept).toBe('abce');
  });

  it('is made by a model that a run needs last of all, and says so; never by one that cannot be had again', async () => {
    const { told, kept } = await evict(5.5 * GB);
    expect(kept).toBe('c');
    expect(told.map(({ name }) => name)).toEqual(['model a', 'model d', 'model e', 'model b']);
    expect(told.at(-1)!.runs).toEqual(['poems']);
  });

  it('cannot be made: nothing is deleted', async () => {
    expect(await evict(7 * GB)).toEqual({ left: 2 * GB, told: [], kept: 'abcde' });
  });

  it('is made by the next one where another tab reads the first', async () => {
    const disk = new SmallDisk('for a test');
    disk.locked.add('a');
    expect((await evict(2.5 * GB, [], disk)).kept).toBe('abce');
  });
});
