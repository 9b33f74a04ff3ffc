import { useState } from 'react';
import { closeData, useData } from '../../state/data_store.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { FileButton } from '../files/file_button.tsx';
import { takeFiles } from '../files/route_files.ts';
import { bytes, plural } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Progress } from '../primitives/progress.tsx';
import styles from './data_file.module.css';

/** The way in; with a file, what it is and how far it is read. */
export function DataFile() {
  const { file, status, progress } = useData();
  const [refusal, setRefusal] = useState<string | null>(null);
  const locked = useRun((state) => isActive(state.status));
  const pick = (
    <FileButton
      accept=".jsonl"
      kind={file ? 'plain' : 'primary'}
      disabled={locked}
      onPick={(picked) => setRefusal(takeFiles(picked))}
    >
      {file ? 'Another file' : 'Choose a file'}
    </FileButton>
  );
  return (
    <section className={file ? styles.file : styles.empty} aria-label="Dataset file">
      {file ? (
        <>
          <Icon name="file" size={22} />
          <div className={styles.text}>
            <h2 className={styles.name}>{file.name}</h2>
            <p className={styles.note}>{bytes(file.size)}, read on this machine</p>
          </div>
          {pick}
          <Button kind="quiet" disabled={locked} onClick={closeData}>
            Remove
          </Button>
        </>
      ) : (
        <>
          <Icon name="upload" size={28} />
          <h2>Drop a .jsonl file anywhere on the page</h2>
          <p className={styles.note}>or take it from the disk</p>
          {pick}
          <pre className={styles.example}>
            <code>
              {'{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}\n'}
              {'{"prompt": "…", "completion": "…"}\n'}
              {'{"text": "…"}'}
            </code>
          </pre>
        </>
      )}
      {status === 'reading' && (
        <div className={styles.progress}>
          <Progress
            share={progress ? progress.bytes / Math.max(1, progress.totalBytes) : null}
            label="Reading the dataset"
            thin
          />
          <p className={styles.note} role="status">
            Reading{progress && progress.rows > 0 ? `: ${plural(progress.rows, 'row')}` : ' …'}
          </p>
        </div>
      )}
      {refusal && (
        <div className={styles.progress}>
          <Notice kind="bad">{refusal}</Notice>
        </div>
      )}
    </section>
  );
}
