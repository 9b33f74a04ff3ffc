import { useEffect } from 'react';
import { listStorage, useStorage } from '../../state/storage_store.ts';
import { EmptyState } from '../primitives/empty_state.tsx';
import { LinkButton } from '../primitives/link_button.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';
import { Screen } from '../primitives/screen.tsx';
import { StorageUse } from '../start/storage_use.tsx';
import { CachedModels } from './cached_models.tsx';
import { CompareRuns } from './compare_runs.tsx';
import { EvictedModels } from './evicted_models.tsx';
import { RunRow } from './run_row.tsx';
import styles from './runs.module.css';

/** What is kept in this browser: runs to go on with, models that need no second download. */
export function RunsScreen() {
  const facts = useStorage((state) => state.facts);
  const failure = useStorage((state) => state.failure);
  useEffect(listStorage, []);
  return (
    <Screen title="Runs" lead="Every run is kept in this browser with its checkpoints, until you delete it.">
      {failure && (
        <Notice kind="bad" title="That could not be done">
          {failure.message}
        </Notice>
      )}
      <EvictedModels />
      {facts && facts.runs.length === 0 ? (
        <EmptyState title="No runs yet" actions={<LinkButton href="#train">Go to training</LinkButton>}>
          A run is here from its first step on: after a reload, a crash or a lost GPU it goes on where its checkpoint
          is.
        </EmptyState>
      ) : (
        <ul className={styles.runs} aria-label="Runs">
          {facts?.runs.map((run) => (
            <RunRow key={run.id} run={run} />
          ))}
        </ul>
      )}
      {facts && <CompareRuns runs={facts.runs} />}
      {facts && facts.models.length > 0 && <CachedModels models={facts.models} />}
      <Panel title="Storage">
        <StorageUse />
      </Panel>
    </Screen>
  );
}
