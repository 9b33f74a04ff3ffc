import { useRun } from '../../state/run_store.ts';
import { bytes } from '../format.ts';
import styles from './paging_figures.module.css';

/** Where the moments of a paged optimizer lie, and what moving them costs. */
export function PagingFigures() {
  const rates = useRun((state) => state.paging);
  if (!rates) return null;
  const { residentBytes, hostBytes, storedBytes, bytesInPerStep, bytesOutPerStep, stallMsPerStep } = rates;
  const { storeWrittenBytes, storeWrittenPerHour } = rates;
  const rows: readonly (readonly [name: string, value: string])[] = [
    ['On the GPU', bytes(residentBytes)],
    ['In host memory', bytes(hostBytes)],
    ['On disk', bytes(storedBytes)],
    ['To the GPU a step', bytes(bytesInPerStep)],
    ['From the GPU a step', bytes(bytesOutPerStep)],
    ['GPU waited a step', `${stallMsPerStep.toFixed(stallMsPerStep < 10 ? 1 : 0)} ms`],
    ...(storeWrittenBytes > 0
      ? ([['Written to disk', `${bytes(storeWrittenBytes)}, ${bytes(storeWrittenPerHour)} an hour`]] as const)
      : []),
  ];
  return (
    <section className={styles.paging} aria-label="Paged optimizer">
      <h3 className={styles.title}>Paged optimizer</h3>
      <dl className={styles.list}>
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
