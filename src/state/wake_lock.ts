/** The screen stays on while a run trains: a machine that goes to sleep trains nothing. */
import { isActive, useRun } from './run_store.ts';

let lock: WakeLockSentinel | null = null;

/** Browsers take the lock away when the tab is hidden, and give it again only to one that is seen. */
export function followWakeLock(): void {
  const adjust = () => {
    const { status } = useRun.getState();
    const wanted = isActive(status) && status !== 'paused' && document.visibilityState === 'visible';
    if (wanted && !lock) void take();
    else if (!wanted) void give();
  };
  useRun.subscribe(({ status }, before) => {
    if (status !== before.status) adjust();
  });
  document.addEventListener('visibilitychange', adjust);
}

async function take(): Promise<void> {
  try {
    const taken = await navigator.wakeLock?.request('screen');
    if (!taken) return;
    lock = taken;
    taken.addEventListener('release', () => {
      if (lock === taken) lock = null;
    });
  } catch {
    // A battery that is low, a browser that has none: training goes on without.
  }
}

async function give(): Promise<void> {
  const held = lock;
  lock = null;
  await held?.release().catch(() => undefined);
}
