import { useState } from 'react';
import { useRun } from '../../state/run_store.ts';
import { saveFile } from '../export/save_file.ts';
import { count, loss, scientific } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Panel } from '../primitives/panel.tsx';
import { Table } from '../primitives/table.tsx';
import styles from './step_table.module.css';

const SHOWN = 40;
const COLUMNS = ['step', 'loss', 'eval_loss', 'grad_norm', 'learning_rate', 'num_tokens'];

/** The same curves as numbers, newest first: for those who do not see the charts, and for other tools. */
export function StepTable() {
  const series = useRun((state) => state.series);
  const name = useRun((state) => state.request?.name ?? 'run');
  const length = useRun((state) => state.version);
  // The row of the last step gets its evaluation late.
  useRun((state) => state.evaluations);
  const [open, setOpen] = useState(false);
  const rows = open ? Array.from({ length: Math.min(SHOWN, length) }, (_, i) => length - 1 - i) : [];
  return (
    <Panel
      title="Every step"
      actions={
        <Button
          small
          disabled={length === 0}
          onClick={() => void saveFile(`${name}.csv`, 'text/csv', new Blob([series.toCsv()]))}
        >
          <Icon name="download" /> CSV
        </Button>
      }
    >
      <details className={styles.details} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
        <summary>Figures of the last {SHOWN} steps</summary>
        <Table label="Figures of the last steps" className={styles.table} columns={COLUMNS}>
          {rows.map((i) => (
            <tr key={i}>
              <td>{count(series.step[i]!)}</td>
              <td>{loss(series.loss[i]!)}</td>
              <td>{series.eval_loss[i] == null ? '' : loss(series.eval_loss[i])}</td>
              <td>{series.grad_norm[i]!.toFixed(3)}</td>
              <td>{scientific(series.learning_rate[i]!)}</td>
              <td>{count(series.num_tokens[i]!)}</td>
            </tr>
          ))}
        </Table>
      </details>
    </Panel>
  );
}
