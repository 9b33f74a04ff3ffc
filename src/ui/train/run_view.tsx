import { lazy, Suspense } from 'react';
import { useRun } from '../../state/run_store.ts';
import { MemoryBar } from '../primitives/memory_bar.tsx';
import { Panel } from '../primitives/panel.tsx';
import { RunOutcome } from './run_outcome.tsx';
import { RunProgress } from './run_progress.tsx';
import { RunSettings } from './run_settings.tsx';
import styles from './run_view.module.css';
import { StepTable } from './step_table.tsx';

const Charts = lazy(() => import('./charts.tsx'));

export function RunView() {
  const memory = useRun((state) => state.memory);
  return (
    <div className={styles.view}>
      <RunOutcome />
      <RunProgress />
      <Suspense fallback={<div className={styles.waiting} aria-busy="true" />}>
        <Charts />
      </Suspense>
      <div className={styles.below}>
        {memory && (
          <Panel title="Memory">
            <MemoryBar memory={memory} />
          </Panel>
        )}
        <div className={styles.facts}>
          <StepTable />
          <RunSettings />
        </div>
      </div>
    </div>
  );
}
