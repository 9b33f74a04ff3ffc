import { useState } from 'react';
import { openData } from '../../state/studio.ts';
import { Button } from '../primitives/button.tsx';
import { Input } from '../primitives/input.tsx';
import styles from './hub_data.module.css';

/** A dataset of the Hub by its id; the configuration and the split are the first ones where nothing is typed. */
export function HubData() {
  const [id, setId] = useState('');
  const [config, setConfig] = useState('');
  const [split, setSplit] = useState('');
  const open = () => {
    if (id.trim() === '') return;
    openData({ kind: 'hub', id: id.trim(), config: config.trim() || null, split: split.trim() || null });
  };
  return (
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        open();
      }}
    >
      <label>
        Dataset of the Hub
        <Input placeholder="org/name" value={id} onChange={({ currentTarget }) => setId(currentTarget.value)} />
      </label>
      <label>
        Configuration
        <Input placeholder="default" value={config} onChange={({ currentTarget }) => setConfig(currentTarget.value)} />
      </label>
      <label>
        Split
        <Input placeholder="train" value={split} onChange={({ currentTarget }) => setSplit(currentTarget.value)} />
      </label>
      <Button type="submit" disabled={id.trim() === ''}>
        Download
      </Button>
    </form>
  );
}
