import type { ButtonHTMLAttributes } from 'react';
import styles from './button.module.css';
import { classes } from './classes.ts';

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** One `primary` a screen: what to do next. */
  readonly kind?: 'primary' | 'plain' | 'quiet' | 'danger';
  readonly small?: boolean;
  /** At work on what it was pressed for: deaf, but not `disabled`, which would take the focus from it. */
  readonly busy?: boolean;
}

export function Button({ kind = 'plain', small = false, busy = false, className, type = 'button', ...rest }: Props) {
  return (
    <button
      type={type}
      className={classes(styles.button, styles[kind], small && styles.small, className)}
      {...rest}
      aria-disabled={busy || undefined}
      onClick={busy ? undefined : rest.onClick}
    />
  );
}
