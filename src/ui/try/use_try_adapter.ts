import { useAdapter } from '../../state/adapter_store.ts';
import { isActive, useRun, useTrained } from '../../state/run_store.ts';
import { useTry } from '../../state/try_store.ts';
import type { TryAdapter } from '../../worker/studio_protocol.ts';

/** The adapters there are to try: what a run trains or has trained, and one that was opened. */
export function useAdapters(): readonly ('trained' | 'opened')[] {
  const training = useRun((state) => isActive(state.status) && state.status !== 'starting');
  const atHand = useTrained((state) => state.atHand);
  const opened = useAdapter((state) => state.start !== null);
  return [...(training || atHand ? (['trained'] as const) : []), ...(opened ? (['opened'] as const) : [])];
}

/** The one that was chosen, where it is there; else the one that is. */
export function useTryAdapter(): TryAdapter {
  const there = useAdapters();
  const chosen = useTry((state) => state.adapter);
  return there.includes(chosen) ? chosen : (there[0] ?? 'none');
}
