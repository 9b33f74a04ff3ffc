import { useState } from 'react';
import { EXAMPLES, openExample } from '../../state/examples.ts';
import { Button } from '../primitives/button.tsx';
import { Notice } from '../primitives/notice.tsx';
import styles from './example_data.module.css';

/** Data to try it with, for whoever has none at hand. */
export function ExampleData() {
  const [failed, setFailed] = useState<string | null>(null);
  const open = (file: string) => {
    setFailed(null);
    openExample(file).catch((error: Error) => setFailed(error.message));
  };
  return (
    <div className={styles.examples}>
      <p className={styles.lead}>or try an example</p>
      <ul className={styles.list}>
        {EXAMPLES.map(({ file, name, note, expect }, i) => (
          <li key={file} className={styles.example}>
            <Button aria-describedby={`example-${i}`} onClick={() => open(file)}>
              <span>
                {name} <span className={styles.note}>{note}</span>
              </span>
            </Button>
            <p id={`example-${i}`} className={styles.expect}>
              {expect}
            </p>
          </li>
        ))}
      </ul>
      {failed && <Notice kind="bad">{failed}</Notice>}
    </div>
  );
}
