import type { ReactNode } from 'react';
import styles from './empty_state.module.css';
import { NF4_LEVELS } from './nf4_levels.ts';

interface Props {
  readonly title: string;
  readonly children: ReactNode;
  readonly actions?: ReactNode;
}

/** A screen with nothing on it yet: says what comes first. */
export function EmptyState({ title, children, actions }: Props) {
  return (
    <section className={styles.empty}>
      <svg className={styles.levels} viewBox="0 0 240 48" aria-hidden="true">
        {NF4_LEVELS.map((level, i) => (
          <line key={level} x1={(level + 1) * 117 + 3} x2={(level + 1) * 117 + 3} y1={i % 5 === 0 ? 8 : 20} y2="40" />
        ))}
      </svg>
      <h2>{title}</h2>
      <p>{children}</p>
      {actions && <div className={styles.actions}>{actions}</div>}
    </section>
  );
}
