import { useEffect, useState } from 'react';
import { filesOfDrop } from '../files/dropped_files.ts';
import { takeFiles } from '../files/route_files.ts';
import { Button } from '../primitives/button.tsx';
import { Notice } from '../primitives/notice.tsx';
import styles from './drop_overlay.module.css';

/** The whole page takes files; while they hang over it, it says what for. */
export function DropOverlay() {
  const [over, setOver] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    const on = (type: 'dragenter' | 'dragover' | 'dragleave' | 'drop', listener: (event: DragEvent) => void) =>
      addEventListener(type, listener, abort);
    let depth = 0;
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    on('dragenter', (event) => {
      if (!hasFiles(event)) return;
      depth++;
      setOver(true);
    });
    on('dragleave', () => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) setOver(false);
    });
    on('dragover', (event) => hasFiles(event) && event.preventDefault());
    on('drop', (event) => {
      depth = 0;
      setOver(false);
      if (!event.dataTransfer || !hasFiles(event)) return;
      event.preventDefault();
      void filesOfDrop(event.dataTransfer).then(
        (picked) => setRefusal(takeFiles(picked)),
        (error: Error) => setRefusal(`The files could not be read: ${error.message}`),
      );
    });
    return () => abort.abort();
  }, []);
  return (
    <>
      {over && (
        <div className={styles.overlay} aria-hidden="true">
          <p className={styles.title}>Drop it anywhere</p>
          <p>a dataset (.jsonl .json .csv .tsv .parquet .txt .md) · a model folder · an adapter (.zip)</p>
        </div>
      )}
      {refusal && (
        <div className={styles.refusal}>
          <Notice
            kind="bad"
            title="Not taken"
            actions={
              <Button small onClick={() => setRefusal(null)}>
                Close
              </Button>
            }
          >
            {refusal}
          </Notice>
        </div>
      )}
    </>
  );
}
