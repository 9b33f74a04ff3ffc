import { type ReactNode, useEffect, useRef } from 'react';
import styles from './screen.module.css';

interface Props {
  readonly title: string;
  readonly lead: ReactNode;
  readonly actions?: ReactNode;
  readonly children: ReactNode;
}

let firstScreen = true;

/** A screen's heading and content. Whoever comes from another screen starts reading at the heading. */
export function Screen({ title, lead, actions, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Nibble Studio`;
    if (!firstScreen) {
      heading.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    firstScreen = false;
  }, [title]);
  // What had the focus is gone (a button whose work is done): the keyboard goes on from the heading, not from nowhere.
  const focused = useRef<Element | null>(null);
  useEffect(() => {
    if (focused.current && !focused.current.isConnected && document.activeElement === document.body) {
      heading.current?.focus({ preventScroll: true });
    }
  });
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only notes where the focus is.
    <div
      className={styles.screen}
      onFocus={({ target }) => {
        focused.current = target;
      }}
    >
      <header className={styles.header}>
        <div className={styles.titles}>
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          <p className={styles.lead}>{lead}</p>
        </div>
        {actions && <div className={styles.actions}>{actions}</div>}
      </header>
      {children}
    </div>
  );
}
