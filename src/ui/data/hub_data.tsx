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
      <div>
        <label htmlFor="hub-data-id">Dataset of the Hub</label>
        <Input
          id="hub-data-id"
          placeholder="org/name"
          value={id}
          onChange={({ currentTarget }) => setId(currentTarget.value)}
        />
      </div>
      <div>
        <label htmlFor="hub-data-config">Configuration</label>
        <Input
          id="hub-data-config"
          placeholder="default"
          value={config}
          onChange={({ currentTarget }) => setConfig(currentTarget.value)}
        />
      </div>
      <div>
        <label htmlFor="hub-data-split">Split</label>
        <Input
          id="hub-data-split"
          placeholder="train"
          value={split}
          onChange={({ currentTarget }) => setSplit(currentTarget.value)}
        />
      </div>
      <Button type="submit" disabled={id.trim() === ''}>
        Download
      </Button>
    </form>
  );
}
