/** The screen stays on while a run trains: a machine that goes to sleep trains nothing. */
import { isActive, useRun } from './run_store.ts';

let lock: WakeLockSentinel | null = null;
/** It was asked for, and has not come yet. */
let asking = false;

/** Browsers take the lock away when the tab is hidden, and give it again only to one that is seen. */
export function followWakeLock(): void {
  useRun.subscribe(({ status }, before) => {
    if (status !== before.status) adjust();
  });
  document.addEventListener('visibilitychange', adjust);
}

function adjust(): void {
  const { status } = useRun.getState();
  const wanted = isActive(status) && status !== 'paused' && document.visibilityState === 'visible';
  if (!wanted) void give();
  else if (!lock && !asking) void take();
}

async function take(): Promise<void> {
  asking = true;
  try {
    const taken = await navigator.wakeLock?.request('screen');
    if (!taken) return;
    lock = taken;
    taken.addEventListener('release', () => {
      if (lock === taken) lock = null;
    });
  } catch {
    // A battery that is low, a browser that has none: training goes on without.
    return;
  } finally {
    asking = false;
  }
  // It may not be wanted any more.
  adjust();
}

async function give(): Promise<void> {
  const held = lock;
  lock = null;
  await held?.release().catch(() => undefined);
}
