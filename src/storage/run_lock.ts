/** Who may write a run: one tab at a time, by a Web Lock, which the browser gives back when the tab ends. */
import { RunLockedError } from './errors.ts';

export interface RunLock {
  release(): void;
}

const nameOf = (run: string) => `nibble-studio run ${run}`;

/** @throws RunLockedError at once where another tab has it. */
export function lockRun(locks: LockManager, run: string): Promise<RunLock> {
  return new Promise((resolve, reject) => {
    const held = locks.request(nameOf(run), { ifAvailable: true }, (lock) => {
      if (lock === null) {
        reject(
          new RunLockedError('Another tab trains this run. It can be looked at here; close it there to go on here.'),
        );
        return;
      }
      return new Promise<void>((release) => resolve({ release }));
    });
    held.catch(reject);
  });
}

/** The runs that some tab writes now. */
export async function lockedRuns(locks: LockManager): Promise<ReadonlySet<string>> {
  const { held = [] } = await locks.query();
  const prefix = nameOf('');
  return new Set(held.flatMap(({ name }) => (name?.startsWith(prefix) ? [name.slice(prefix.length)] : [])));
}
