/** Who may write a run, and what is read and must stay: by Web Locks, which the browser gives back when the tab ends. */
import { RunLockedError, StoredInUseError } from './errors.ts';

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

const readingNameOf = (stored: string) => `nibble-studio reads ${stored}`;

/** What is stored under this name stays until it is released; others may read it too. */
export function lockReading(locks: LockManager, stored: string): Promise<RunLock> {
  return new Promise((resolve, reject) => {
    const held = locks.request(
      readingNameOf(stored),
      { mode: 'shared' },
      () => new Promise<void>((release) => resolve({ release })),
    );
    held.catch(reject);
  });
}

/** Does what must not happen to something that is being read. @throws StoredInUseError where it is */
export async function whileUnread(locks: LockManager, stored: string, work: () => Promise<void>): Promise<void> {
  await locks.request(readingNameOf(stored), { ifAvailable: true }, (lock) => {
    if (lock) return work();
    throw new StoredInUseError(
      'A model that trains or writes now reads its layers from it, here or in another tab. Load another model there first.',
    );
  });
}
