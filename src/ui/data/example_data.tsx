import { useState } from 'react';
import { openData } from '../../state/studio.ts';
import { Button } from '../primitives/button.tsx';
import { Notice } from '../primitives/notice.tsx';
import styles from './example_data.module.css';

/** Public-domain texts beside the page (public/examples/README.md). */
const EXAMPLES = [
  { file: 'fables.jsonl', name: 'Aesop’s fables', note: 'instructions (Alpaca)' },
  { file: 'shakespeare-dialogue.jsonl', name: 'Shakespeare’s dialogues', note: 'conversations' },
  { file: 'fables-messy.csv', name: 'A messy table', note: 'fables as CSV, columns to map' },
] as const;

/** Data to try it with, for whoever has none at hand. */
export function ExampleData() {
  const [failed, setFailed] = useState<string | null>(null);
  const open = async (name: string) => {
    setFailed(null);
    const response = await fetch(`examples/${name}`).catch(() => null);
    if (!response?.ok) return setFailed(`${name} could not be loaded. Reload the page and try again.`);
    openData({ kind: 'files', files: [new File([await response.blob()], name)] });
  };
  return (
    <div className={styles.examples}>
      <p className={styles.lead}>or try an example</p>
      <ul className={styles.list}>
        {EXAMPLES.map(({ file, name, note }) => (
          <li key={file}>
            <Button onClick={() => void open(file)}>
              <span>
                {name} <span className={styles.note}>{note}</span>
              </span>
            </Button>
          </li>
        ))}
      </ul>
      {failed && <Notice kind="bad">{failed}</Notice>}
    </div>
  );
}
