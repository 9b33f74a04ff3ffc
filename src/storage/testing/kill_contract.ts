/** Killed at every write in turn, of several checkpoints in a row: what loads afterwards is one of them, whole. */
import { expect, it } from 'vitest';
import { type GenerationStore, type PageVersion, StorageFullError } from '../../engine/page_store.ts';
import { openGenerationStore } from '../generation_store.ts';
import type { PageDisk } from '../page_disk.ts';
import { bytesOf, type DiskUnderTest, expectBytes } from './disk_contract.ts';
import { type Fault, FaultyDisk, KilledError } from './faulty_disk.ts';

interface State {
  readonly label: string;
}

const STEPS = 4;
const PAGES = 3;
const BYTES = 5000;

/** Deterministic: a failure can be looked at again. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * A run in short: each step writes page `step % PAGES` anew, as a pager does, then commits. Returns the step whose commit was
 * the last to say that it succeeded.
 */
async function train(store: GenerationStore<State>, onCommit: (step: number) => void): Promise<void> {
  const current: PageVersion[] = [];
  for (let step = 1; step <= STEPS; step++) {
    for (let page = 0; page < PAGES; page++) {
      if (step > 1 && page !== step % PAGES) continue;
      const old = current[page];
      current[page] = await store.write(`page/${page}`, bytesOf(step * 10 + page, BYTES));
      if (old) await store.free([old]);
    }
    store.retain(current);
    const held = [...current];
    await store.commit({ step, pages: held, state: { label: `step ${step}` } });
    await store.free(held);
    onCommit(step);
  }
}

/** The step at which each page was last written when `step` was committed. */
const writtenAt = (step: number, page: number): number => {
  for (let at = step; at > 1; at--) if (at % PAGES === page) return at;
  return 1;
};

/** What loads is a whole state of one step; returns the step, 0 where there is none. */
async function loaded(disk: PageDisk): Promise<number> {
  const store = await openGenerationStore<State>(disk);
  const generations = await store.generations();
  for (const { step, pages, state } of generations) {
    expect(state.label).toBe(`step ${step}`);
    for (const [page, version] of pages.entries()) {
      expectBytes(await store.read(version, true), bytesOf(writtenAt(step, page) * 10 + page, BYTES));
    }
  }
  return generations[0]?.step ?? 0;
}

/** @param most writes to try, evenly spread, where each costs much */
export function killContract(create: () => Promise<DiskUnderTest>, most = Number.POSITIVE_INFINITY): void {
  const run = async (fault: Fault, at: number): Promise<{ writes: number; error: unknown; committed: number }> => {
    const under = await create();
    let committed = 0;
    let error: unknown = null;
    const faulty = new FaultyDisk(await under.open(), fault, at, randomFrom(at + 1));
    try {
      const store = await openGenerationStore<State>(faulty);
      await train(store, (step) => {
        committed = step;
      }).catch((caught: unknown) => {
        error = caught;
      });
      if (!(error instanceof KilledError)) await store.close();
      const disk = await under.open();
      const step = await loaded(disk);
      // What was told to be safe is; what was under way may be.
      expect(step).toBeGreaterThanOrEqual(committed);
      expect(step).toBeLessThanOrEqual(committed + 1);
      // And the store goes on as if nothing had been.
      const again = await openGenerationStore<State>(disk);
      await train(again, () => {});
      await again.close();
      const last = await under.open();
      expect(await loaded(last)).toBe(STEPS);
      await last.close();
    } finally {
      await under.remove();
    }
    return { writes: faulty.writes, error, committed };
  };

  it('without a fault commits every step: the control', async () => {
    const { error, committed, writes } = await run('kill', Number.POSITIVE_INFINITY);
    expect({ error, committed }).toEqual({ error: null, committed: STEPS });
    // Pages, flushes, records, markers, deletions, truncations: all of them are tried below.
    expect(writes).toBeGreaterThan(PAGES + STEPS * 4);
  });

  for (const fault of ['kill', 'power', 'full'] as const) {
    it(`${fault} at every write: old or new loads, never a mix`, async () => {
      const { writes } = await run(fault, Number.POSITIVE_INFINITY);
      const stride = Math.max(1, Math.ceil(writes / most));
      for (let at = 0; at < writes; at += stride) {
        const { error } = await run(fault, at);
        if (fault !== 'full') expect(error, `write ${at}`).toBeInstanceOf(KilledError);
        // Deletions and flushes need no room: past the last write that does, nothing fails.
        else if (error !== null) expect(error, `write ${at}`).toBeInstanceOf(StorageFullError);
      }
    }, 60_000);
  }
}
