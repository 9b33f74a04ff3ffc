import type { MemoryCategory } from '../../worker/protocol.ts';
import { bytes } from '../format.ts';
import styles from './memory_bar.module.css';

const CATEGORIES: readonly { readonly key: MemoryCategory; readonly name: string }[] = [
  { key: 'weights', name: 'Weights' },
  { key: 'adapter', name: 'Adapter' },
  { key: 'optimizer', name: 'Optimizer' },
  { key: 'activations', name: 'Activations' },
  { key: 'logits', name: 'Logits' },
  { key: 'cache', name: 'Cache' },
  { key: 'staging', name: 'Staging' },
];

interface Props {
  readonly memory: Readonly<Record<MemoryCategory, number>>;
  readonly title?: string;
}

/** GPU memory by what it is for, as one bar and its legend. */
export function MemoryBar({ memory, title = 'GPU memory' }: Props) {
  const shown = CATEGORIES.filter(({ key }) => memory[key] > 0);
  const total = shown.reduce((sum, { key }) => sum + memory[key], 0);
  return (
    <figure className={styles.figure} aria-label={title}>
      <p className={styles.total}>
        <span>{title}</span>
        <strong>{bytes(total)}</strong>
      </p>
      <div className={styles.bar} aria-hidden="true">
        {shown.map(({ key }) => (
          <div key={key} data-category={key} style={{ flexGrow: memory[key] }} />
        ))}
      </div>
      <ul className={styles.legend}>
        {shown.map(({ key, name }) => (
          <li key={key}>
            <span className={styles.swatch} data-category={key} />
            {name} <span className={styles.amount}>{bytes(memory[key])}</span>
          </li>
        ))}
      </ul>
    </figure>
  );
}
