import { useState } from 'react';
import type { TrainedAdapter } from '../../state/run_store.ts';
import { bytes, count, loss } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Figures } from '../primitives/figures.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';
import { adapterConfig } from './adapter_config.ts';
import { saveAdapter } from './save_adapter.ts';
import styles from './trained_panel.module.css';

type Saving = 'no' | 'busy' | 'done' | { readonly error: string };

export function TrainedPanel({ trained }: { readonly trained: TrainedAdapter }) {
  const [saving, setSaving] = useState<Saving>('no');
  const { files, name, model, steps, finalLoss, finalEvalLoss, outcome } = trained;
  const config = adapterConfig(files);
  const size = files.reduce((sum, file) => sum + file.bytes.byteLength, 0);
  const save = () => {
    setSaving('busy');
    saveAdapter(trained).then(
      (done) => setSaving(done ? 'done' : 'no'),
      (error: Error) => setSaving({ error: error.message }),
    );
  };
  return (
    <Panel title={name} lead={`Trained on ${model.name}`}>
      {outcome === 'failed' && (
        <Notice kind="warn" title="From a run that failed">
          This is the adapter of its last good step.
        </Notice>
      )}
      <Figures
        items={[
          { label: 'Steps', value: count(steps), note: outcome === 'stopped' ? 'stopped early' : undefined },
          { label: 'Last loss', value: finalLoss === null ? '–' : loss(finalLoss) },
          { label: 'Validation loss', value: finalEvalLoss === null ? '–' : loss(finalEvalLoss) },
          { label: 'r', value: config?.r ?? '–', note: config && `lora_alpha ${config.lora_alpha}` },
        ]}
      />
      {config && (
        <p className={styles.modules}>
          <span className={styles.label}>target_modules</span> <code>{config.target_modules.join(', ')}</code>
        </p>
      )}
      <ul className={styles.files} aria-label="Files in the zip">
        {files.map((file) => (
          <li key={file.path}>
            <Icon name="file" />
            <span className={styles.path}>{file.path}</span>
            <span>{bytes(file.bytes.byteLength)}</span>
          </li>
        ))}
      </ul>
      <Button kind="primary" busy={saving === 'busy'} onClick={save}>
        <Icon name="download" /> {saving === 'busy' ? 'Saving …' : `Save as zip, ${bytes(size)}`}
      </Button>
      <p className={styles.state} role="status">
        {saving === 'done' ? 'Saved.' : ''}
      </p>
      {typeof saving === 'object' && (
        <Notice kind="bad" title="The zip was not written">
          {saving.error} Check that there is room on the disk, then save again.
        </Notice>
      )}
    </Panel>
  );
}
