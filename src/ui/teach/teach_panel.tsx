import { useState } from 'react';
import { useModel } from '../../state/model_store.ts';
import { useRun } from '../../state/run_store.ts';
import { Panel } from '../primitives/panel.tsx';
import { LayerNormsFigure } from './layer_norms_figure.tsx';
import { LevelsFigure } from './levels_figure.tsx';
import { MemoryCompared } from './memory_compared.tsx';
import styles from './teach_panel.module.css';

/** What QLoRA does, drawn from the run that goes on: for whoever wants to know, closed at first. */
export function TeachPanel() {
  const [open, setOpen] = useState(false);
  const loaded = useModel((state) => state.loaded);
  const memory = useRun((state) => state.memory);
  if (!loaded) return null;
  return (
    <Panel title="What is happening">
      <details className={styles.details} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
        <summary>QLoRA in three pictures, from this run</summary>
        {open && (
          <div className={styles.figures}>
            <LevelsFigure info={loaded.info} />
            <LayerNormsFigure />
            {memory && <MemoryCompared info={loaded.info} memory={memory} />}
          </div>
        )}
      </details>
    </Panel>
  );
}
