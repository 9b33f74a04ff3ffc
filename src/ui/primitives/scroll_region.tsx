import type { ReactNode } from 'react';

interface Props {
  readonly label: string;
  readonly className: string | undefined;
  readonly children: ReactNode;
}

/** A region that scrolls by itself: named, and reached with the keyboard. */
export function ScrollRegion({ label, className, children }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: who has no wheel scrolls it with the arrow keys.
    <section className={className} aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
