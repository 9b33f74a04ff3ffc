import { useState } from 'react';
import { useModel } from '../../state/model_store.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { FileButton } from '../files/file_button.tsx';
import { takeFiles } from '../files/route_files.ts';
import { Icon } from '../primitives/icon.tsx';
import { Notice } from '../primitives/notice.tsx';
import styles from './folder_picker.module.css';

export function FolderPicker() {
  const [refusal, setRefusal] = useState<string | null>(null);
  const busy = useRun((state) => isActive(state.status));
  const loading = useModel((state) => state.loading !== null);
  return (
    <section className={styles.picker} aria-labelledby="folder-title">
      <Icon name="folder" size={22} />
      <div className={styles.text}>
        <h2 id="folder-title">A folder on this computer</h2>
        <p>
          With <code>config.json</code>, <code>tokenizer.json</code> and <code>.safetensors</code> files. Drop it
          anywhere on the page.
        </p>
      </div>
      <FileButton folder disabled={busy || loading} onPick={(picked) => setRefusal(takeFiles(picked))}>
        Choose a folder
      </FileButton>
      {refusal && (
        <div className={styles.refusal}>
          <Notice kind="bad">{refusal}</Notice>
        </div>
      )}
    </section>
  );
}
