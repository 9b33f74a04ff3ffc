import { useRun } from '../../state/run_store.ts';
import { Panel } from '../primitives/panel.tsx';
import styles from './run_settings.module.css';

/** What this run was started with, to compare and to write down. */
export function RunSettings() {
  const request = useRun((state) => state.request);
  if (!request) return null;
  const entries = Object.entries({ ...request.lora, ...request.training }).filter(([, value]) => value !== undefined);
  return (
    <Panel title="Settings">
      <details>
        <summary>What this run was started with</summary>
        <dl className={styles.list}>
          {entries.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{Array.isArray(value) ? value.join(', ') : String(value)}</dd>
            </div>
          ))}
        </dl>
      </details>
    </Panel>
  );
}
