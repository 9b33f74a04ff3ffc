import type { ReactNode } from 'react';
import styles from './button.module.css';
import { classes } from './classes.ts';

interface Props {
  readonly href: string;
  readonly primary?: boolean;
  readonly children: ReactNode;
}

/** A link to another screen that looks like what to do next. */
export function LinkButton({ href, primary = false, children }: Props) {
  return (
    <a href={href} className={classes(styles.button, primary && styles.primary)}>
      {children}
    </a>
  );
}
