import { lazy, memo, Suspense } from 'react';
import { useRun } from '../../state/run_store.ts';
import { plural } from '../format.ts';
import { MemoryBar } from '../primitives/memory_bar.tsx';
import { Panel } from '../primitives/panel.tsx';
import { loadCharts } from './load_charts.ts';
import { PagingFigures } from './paging_figures.tsx';
import { RunNotices } from './run_notices.tsx';
import { RunOutcome } from './run_outcome.tsx';
import { RunProgress } from './run_progress.tsx';
import { RunSettings } from './run_settings.tsx';
import styles from './run_view.module.css';
import { SamplesPanel } from './samples_panel.tsx';
import { StepTable } from './step_table.tsx';

const Charts = lazy(loadCharts);

/** Its parts follow the run by themselves: a change of the screen's heading is none of theirs. */
export const RunView = memo(function RunView() {
  return (
    <div className={styles.view}>
      <RunOutcome />
      <RunNotices />
      <RunProgress />
      <Suspense fallback={<div className={styles.waiting} aria-busy="true" />}>
        <Charts />
      </Suspense>
      <SamplesPanel />
      <div className={styles.below}>
        <MemoryPanel />
        <div className={styles.facts}>
          <StepTable />
          <RunSettings />
        </div>
      </div>
    </div>
  );
});

function MemoryPanel() {
  const memory = useRun((state) => state.memory);
  const kept = useRun((state) => state.kept);
  if (!memory) return null;
  return (
    <Panel title="Memory">
      <MemoryBar memory={memory} />
      {kept && kept.layers < kept.of && (
        <p className={styles.note}>
          {plural(kept.of - kept.layers, 'layer')} of {kept.of} computed twice, to need less.
        </p>
      )}
      <PagingFigures />
    </Panel>
  );
}
