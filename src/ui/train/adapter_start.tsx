import { useState } from 'react';
import { clearAdapter, useAdapter } from '../../state/adapter_store.ts';
import { useModel } from '../../state/model_store.ts';
import { FileButton } from '../files/file_button.tsx';
import { takeFiles } from '../files/route_files.ts';
import { plural } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Progress } from '../primitives/progress.tsx';
import styles from './adapter_start.module.css';

/** A fresh adapter, or one that was trained before. */
export function AdapterStart() {
  const { status, start, failure } = useAdapter();
  const hasModel = useModel((state) => state.loaded !== null);
  const [refusal, setRefusal] = useState<string | null>(null);
  const open = (
    <FileButton
      accept=".zip,.json,.safetensors"
      multiple
      disabled={!hasModel || status === 'reading'}
      onPick={(picked) => setRefusal(takeFiles(picked))}
    >
      {start ? 'Another adapter' : 'Start from an adapter'}
    </FileButton>
  );
  return (
    <div className={styles.start}>
      <div className={styles.line}>
        <p className={styles.text} role="status">
          {start ? (
            <>
              Goes on from <strong>{start.name}</strong>: r {start.lora.r}, lora_alpha {start.lora.lora_alpha},{' '}
              {plural(start.tensors, 'tensor')} for {start.modules.join(', ')}.
            </>
          ) : (
            'A fresh adapter: it changes nothing until it has learned.'
          )}
        </p>
        {open}
        {start && (
          <Button kind="quiet" onClick={clearAdapter}>
            Start fresh
          </Button>
        )}
      </div>
      {status === 'reading' && <Progress share={null} label="Reading the adapter" thin />}
      {(failure || refusal) && (
        <Notice kind="bad" title="The adapter cannot be used">
          {failure?.message ?? refusal}
        </Notice>
      )}
      {!hasModel && !start && <p className={styles.note}>An adapter fits one model: load that first.</p>}
    </div>
  );
}
