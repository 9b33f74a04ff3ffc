import { useState } from 'react';
import { plural } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Panel } from '../primitives/panel.tsx';
import { ScrollRegion } from '../primitives/scroll_region.tsx';
import styles from './dropped_rows.module.css';

const PAGE = 50;

/** Rows that are not trained on, each with its line and why. */
export function DroppedRows({ dropped }: { readonly dropped: readonly { line: number; reason: string }[] }) {
  const [shown, setShown] = useState(PAGE);
  if (dropped.length === 0) return null;
  return (
    <Panel title="Left out" lead={`${plural(dropped.length, 'row')} of the file cannot be used; the others are.`}>
      <ScrollRegion className={styles.scroll} label="Rows left out">
        <table className={styles.table}>
          <thead>
            <tr>
              <th scope="col">Line</th>
              <th scope="col">Why</th>
            </tr>
          </thead>
          <tbody>
            {dropped.slice(0, shown).map(({ line, reason }) => (
              <tr key={line}>
                <td className={styles.line}>{line}</td>
                <td>{reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollRegion>
      {dropped.length > shown && (
        <Button small onClick={() => setShown(shown + 10 * PAGE)}>
          Show more ({plural(dropped.length - shown, 'row')} left)
        </Button>
      )}
    </Panel>
  );
}
