import { useEffect, useState } from 'react';
import { askForRows, type DataSummaryInfo, useData } from '../../state/data_store.ts';
import { count, plural } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Panel } from '../primitives/panel.tsx';
import styles from './row_browser.module.css';
import { RowList } from './row_list.tsx';
import { RowText } from './row_text.tsx';

const PAGE = 10;

/** Rows as the model sees them: a page of them as a list, one in full. */
export function RowBrowser({ summary, stale }: { readonly summary: DataSummaryInfo; readonly stale: boolean }) {
  const total = summary.examples + summary.validationExamples;
  const rows = useData((state) => state.rows);
  const [selected, setSelected] = useState(0);
  const at = Math.min(selected, total - 1);
  const from = Math.floor(at / PAGE) * PAGE;
  const missing =
    !stale && Array.from({ length: Math.min(PAGE, total - from) }, (_, i) => from + i).some((i) => !rows.has(i));
  useEffect(() => {
    if (missing) askForRows(from, PAGE);
  }, [missing, from]);
  const row = rows.get(at);
  return (
    <Panel
      title="As the model sees it"
      lead="Rendered through the model’s own chat template; what is trained is marked."
      className={stale ? styles.stale : undefined}
      actions={
        <p className={styles.legend}>
          <span className={styles.trained}>trained</span>
          <span className={styles.plain}>seen only</span>
          <span className={styles.special}>special token</span>
        </p>
      }
    >
      <div className={styles.pager}>
        <Button small aria-label="Previous row" disabled={at <= 0} onClick={() => setSelected(at - 1)}>
          <Icon name="back" /> <span className={styles.word}>Previous</span>
        </Button>
        <label className={styles.jump}>
          Row
          <input
            type="number"
            min={1}
            max={total}
            value={at + 1}
            onChange={({ currentTarget }) => {
              const wanted = currentTarget.valueAsNumber;
              if (Number.isInteger(wanted)) setSelected(Math.min(total, Math.max(1, wanted)) - 1);
            }}
          />
          of {count(total)}
        </label>
        <Button small aria-label="Next row" disabled={at >= total - 1} onClick={() => setSelected(at + 1)}>
          <span className={styles.word}>Next</span> <Icon name="chevron" />
        </Button>
        {row && (
          <p className={styles.counts} role="status">
            {plural(row.tokens, 'token')}, {count(row.trainedTokens)} trained
          </p>
        )}
      </div>
      <div className={styles.body}>
        <RowList rows={rows} from={from} count={Math.min(PAGE, total - from)} selected={at} onSelect={setSelected} />
        <RowText row={row ?? null} />
      </div>
    </Panel>
  );
}
