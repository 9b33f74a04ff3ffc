import type { ReactNode } from 'react';
import styles from './side_layout.module.css';

interface Props {
  readonly side: ReactNode;
  readonly children: ReactNode;
}

/** A wide column and a narrow one that stays in view; one below the other where there is no room. */
export function SideLayout({ side, children }: Props) {
  return (
    <div className={styles.layout}>
      <div className={styles.main}>{children}</div>
      <div className={styles.side}>{side}</div>
    </div>
  );
}
