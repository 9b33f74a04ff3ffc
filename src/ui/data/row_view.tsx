import { selectRow, useData } from '../../state/data_store.ts';
import { count, plural } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';
import { RowText } from './row_text.tsx';
import styles from './row_view.module.css';

/** The selected row as the model sees it. */
export function RowView() {
  const { table, selected, shown } = useData();
  if (!table || table.rows === 0) return null;
  const at = Math.min(selected, table.rows - 1);
  const row = shown?.row === at ? shown : null;
  return (
    <Panel
      title="As the model sees it"
      lead="Rendered through the model’s own chat template, token by token; what is trained is marked."
      actions={
        <p className={styles.legend}>
          <span className={styles.trained}>trained</span>
          <span className={styles.plain}>seen only</span>
          <span className={styles.special}>special token</span>
        </p>
      }
    >
      <div className={styles.pager}>
        <Button small aria-label="Previous row" disabled={at <= 0} onClick={() => selectRow(at - 1)}>
          <Icon name="back" /> <span className={styles.word}>Previous</span>
        </Button>
        <label className={styles.jump}>
          Row
          <input
            type="number"
            min={1}
            max={table.rows}
            value={at + 1}
            onChange={({ currentTarget }) => {
              const wanted = currentTarget.valueAsNumber;
              if (Number.isInteger(wanted)) selectRow(Math.min(table.rows, Math.max(1, wanted)) - 1);
            }}
          />
          of {count(table.rows)}
        </label>
        <Button small aria-label="Next row" disabled={at >= table.rows - 1} onClick={() => selectRow(at + 1)}>
          <span className={styles.word}>Next</span> <Icon name="chevron" />
        </Button>
        {row && row.problem === null && (
          <p className={styles.counts} role="status">
            {plural(row.tokens, 'token')}, {count(row.trainedTokens)} trained
            {row.wholeTokens > row.tokens && `, ${count(row.wholeTokens - row.tokens)} cut off`}
          </p>
        )}
      </div>
      {row?.problem != null ? (
        <Notice kind="warn" title={`Left out${row.line > 0 ? `: ${row.file}, line ${count(row.line)}` : ''}`}>
          {row.problem}
        </Notice>
      ) : (
        <RowText pieces={row?.pieces ?? null} label={`Row ${at + 1}`} />
      )}
      {row?.notes.map((note) => (
        <Notice key={note} kind="info">
          {note}
        </Notice>
      ))}
    </Panel>
  );
}
