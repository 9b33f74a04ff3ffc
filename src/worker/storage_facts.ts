/** What the page shows of the studio's storage. */

import type { StudioStoredRun } from './run_details.ts';
import type { RunSummary, StorageFacts } from './studio_protocol.ts';
import type { StudioStore } from './studio_storage.ts';

export async function storageFacts(store: StudioStore): Promise<StorageFacts> {
  const [estimate, runs, models] = await Promise.all([store.estimate(), store.runs(), store.models()]);
  const whole = new Set(models.flatMap(({ key, complete }) => (complete ? [key] : [])));
  return {
    volatile: store.volatile,
    ...estimate,
    runs: runs.map((run): RunSummary => {
      const { details, open, state, ...rest } = run as StudioStoredRun & { readonly open: boolean };
      return {
        ...rest,
        open,
        state: !open && (state === 'running' || state === 'paused') ? 'interrupted' : state,
        request: details.request,
        model: details.model,
        modelCached: whole.has(details.modelKey),
      };
    }),
    models: models
      .map(({ key, name, commit, used, bytes, complete }) => ({ key, name, commit, used, bytes, complete }))
      .sort((a, b) => b.used - a.used),
  };
}
