import type { ReactNode } from 'react';
import { Icon } from './icon.tsx';
import styles from './notice.module.css';

interface Props {
  readonly kind: 'bad' | 'warn' | 'good' | 'info';
  readonly title?: string;
  readonly children?: ReactNode;
  readonly actions?: ReactNode;
}

const ICONS = { bad: 'alert', warn: 'alert', good: 'check', info: 'info' } as const;

/** Something to know now. What is bad is read out at once, the rest when there is a moment. */
export function Notice({ kind, title, children, actions }: Props) {
  return (
    <div className={styles.notice} data-kind={kind} role={kind === 'bad' ? 'alert' : 'status'}>
      <Icon name={ICONS[kind]} />
      <div className={styles.text}>
        {title && <p className={styles.title}>{title}</p>}
        {children && <div className={styles.body}>{children}</div>}
        {actions && <div className={styles.actions}>{actions}</div>}
      </div>
    </div>
  );
}
