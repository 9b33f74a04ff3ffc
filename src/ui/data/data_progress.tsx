import { stopData, useData } from '../../state/data_store.ts';
import { bytes, count, duration, plural, rate } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Progress } from '../primitives/progress.tsx';
import styles from './data_files.module.css';

/** How far the files are read, or their rows tokenized; and a way to stop. */
export function DataProgress() {
  const status = useData((state) => state.status);
  const progress = useData((state) => state.progress);
  const reading = status === 'reading';
  const label = reading ? 'Reading the files' : 'Cutting rows into tokens';
  const speed = progress?.perSecond ?? null;
  const parts = progress
    ? [
        reading
          ? `${bytes(progress.done)} of ${bytes(progress.total)}, ${plural(progress.rows, 'row')}`
          : `${count(progress.done)} of ${plural(progress.total, 'row')}`,
        speed !== null && (reading ? rate(speed) : `${count(speed)} rows/s`),
        progress.secondsLeft !== null && `${duration(progress.secondsLeft)} left`,
      ]
    : ['…'];
  return (
    <div className={styles.progress}>
      <Progress share={progress ? progress.done / Math.max(1, progress.total) : null} label={label} thin />
      <p className={styles.note}>
        {label}: {parts.filter(Boolean).join(' · ')}
      </p>
      <Button small kind="quiet" onClick={stopData}>
        Stop
      </Button>
    </div>
  );
}
