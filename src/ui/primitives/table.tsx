import type { ReactNode } from 'react';
import { classes } from './classes.ts';
import { ScrollRegion } from './scroll_region.tsx';
import styles from './table.module.css';

interface Props {
  readonly label: string;
  readonly columns: readonly string[];
  readonly className?: string;
  /** Its rows. */
  readonly children: ReactNode;
}

/** A table of a few dozen rows that scrolls by itself below its headings. */
export function Table({ label, columns, className, children }: Props) {
  return (
    <ScrollRegion className={styles.scroll} label={label}>
      <table className={classes(styles.table, className)}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </ScrollRegion>
  );
}
