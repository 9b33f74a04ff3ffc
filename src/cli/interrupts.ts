/** Ctrl-C: the first one asks for an end that keeps what was done, the second one quits at once. */

/**
 * npm passes a terminal's Ctrl-C on to a process that has it from the terminal already: two signals within milliseconds
 * are one key press.
 */
const SAME_PRESS_MS = 500;

export const INTERRUPTED = 130;

/** Calls `onFirst` once; a later interrupt ends the process. `dispose` gives Ctrl-C its usual meaning back. */
export function onInterrupt(onFirst: () => void): { dispose: () => void } {
  let first: number | null = null;
  const handler = () => {
    const now = performance.now();
    if (first === null) {
      first = now;
      onFirst();
    } else if (now - first > SAME_PRESS_MS) {
      process.exit(INTERRUPTED);
    }
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, handler);
  return {
    dispose() {
      for (const signal of signals) process.off(signal, handler);
    },
  };
}
