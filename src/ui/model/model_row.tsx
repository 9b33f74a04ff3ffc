import { Icon } from '../primitives/icon.tsx';
import styles from './model_row.module.css';

interface Props {
  readonly id: string;
  readonly chosen: boolean;
  readonly gated: boolean;
  readonly facts: readonly string[];
  readonly note?: string;
  readonly disabled: boolean;
  readonly onChoose: () => void;
}

export function ModelRow({ id, chosen, gated, facts, note, disabled, onChoose }: Props) {
  const [owner, name] = id.includes('/') ? id.split('/') : ['', id];
  return (
    <li className={styles.row}>
      <button type="button" className={styles.button} aria-pressed={chosen} disabled={disabled} onClick={onChoose}>
        <span className={styles.name}>
          <span>
            <span className={styles.owner}>{owner ? `${owner}/` : ''}</span>
            <strong>{name}</strong>
          </span>
          {gated && (
            <span className={styles.gated}>
              <Icon name="lock" size={12} /> gated
            </span>
          )}
        </span>
        {note && <span className={styles.note}>{note}</span>}
        <span className={styles.facts}>
          {facts.map((fact) => (
            <span key={fact}>{fact}</span>
          ))}
        </span>
        <span className={styles.go}>
          <Icon name="chevron" />
        </span>
      </button>
    </li>
  );
}
