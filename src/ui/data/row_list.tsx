import type { PreviewRow } from '../../worker/studio_protocol.ts';
import { count } from '../format.ts';
import styles from './row_list.module.css';

interface Props {
  readonly rows: ReadonlyMap<number, PreviewRow>;
  readonly from: number;
  readonly count: number;
  readonly selected: number;
  readonly onSelect: (index: number) => void;
}

export function RowList({ rows, from, count: length, selected, onSelect }: Props) {
  return (
    <ul className={styles.list} aria-label="Rows of this page">
      {Array.from({ length }, (_, i) => from + i).map((index) => {
        const row = rows.get(index);
        return (
          <li key={index}>
            <button
              type="button"
              className={styles.row}
              aria-current={index === selected || undefined}
              onClick={() => onSelect(index)}
            >
              <span className={styles.number}>{count(index + 1)}</span>
              <span className={styles.start}>{row ? startOf(row) : '…'}</span>
              <span className={styles.tokens}>{row ? count(row.tokens) : ''}</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}

/** The first words that tell one row from another. */
function startOf({ pieces }: PreviewRow): string {
  const words = pieces.filter(({ special, text }) => !special && text.trim().length > 12);
  return (words[0]?.text ?? pieces.find(({ special }) => !special)?.text ?? '').trim().slice(0, 80);
}
