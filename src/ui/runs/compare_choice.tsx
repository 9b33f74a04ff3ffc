import { isComparable, MOST_COMPARED, toggleCompared, useCompared } from '../../state/compared_runs.ts';
import type { RunSummary } from '../../worker/studio_protocol.ts';
import styles from './compare_runs.module.css';

/** Whether a run's curve is laid over the others'; nothing for one that has none yet. */
export function CompareChoice({ run }: { readonly run: RunSummary }) {
  const chosen = useCompared((state) => state.chosen.includes(run.id));
  const full = useCompared((state) => state.chosen.filter(Boolean).length >= MOST_COMPARED);
  if (!isComparable(run)) return null;
  return (
    <label className={styles.choice}>
      <input
        type="checkbox"
        checked={chosen}
        disabled={full && !chosen}
        aria-label={`Compare ${run.name}`}
        onChange={() => toggleCompared(run.id)}
      />
      Compare
    </label>
  );
}
