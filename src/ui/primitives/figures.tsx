import type { ReactNode } from 'react';
import styles from './figures.module.css';

export interface Figure {
  readonly label: string;
  readonly value: ReactNode;
  readonly note?: ReactNode;
}

interface Props {
  readonly items: readonly Figure[];
  /** `wide` is for six of them: two, three or six in a row. */
  readonly size?: 'small' | 'medium' | 'wide';
}

/** Numbers side by side, each with what it is. */
export function Figures({ items, size = 'medium' }: Props) {
  return (
    <dl className={styles.figures} data-size={size}>
      {items.map(({ label, value, note }) => (
        <div key={label} className={styles.figure}>
          <dt>{label}</dt>
          <dd>
            <span className={styles.value}>{value}</span>
            {note && <span className={styles.note}>{note}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}
