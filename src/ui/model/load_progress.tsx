import type { LoadProgress as Progressed } from '../../state/model_store.ts';
import { bytes, duration, percent, rate } from '../format.ts';
import { Progress } from '../primitives/progress.tsx';
import styles from './load_progress.module.css';

interface Props {
  readonly progress: Progressed | null;
  readonly held: boolean;
  readonly total: number;
  readonly name: string;
}

export function LoadProgress({ progress, held, total, name }: Props) {
  const loaded = progress?.loadedBytes ?? 0;
  const all = progress?.totalBytes ?? total;
  const share = loaded / Math.max(1, all);
  const files = progress?.files ?? [];
  return (
    <div className={styles.progress}>
      <p className={styles.line}>
        <strong>{percent(share)}</strong>
        <span>
          {bytes(loaded)} of {bytes(all)}
        </span>
      </p>
      <Progress share={share} label={`Loading ${name}`} held={held} />
      <p className={styles.line}>
        <span>{!held && progress?.bytesPerSecond != null ? rate(progress.bytesPerSecond) : ' '}</span>
        <span>{!held && progress?.secondsLeft != null ? `${duration(progress.secondsLeft)} left` : ''}</span>
      </p>
      {files.length > 1 && (
        <ul className={styles.files}>
          {files.map(({ file, loadedBytes, totalBytes }) => (
            <li key={file}>
              <span className={styles.file}>{file}</span>
              <span>{bytes(totalBytes)}</span>
              <Progress share={loadedBytes / Math.max(1, totalBytes)} label={file} held={held} thin />
            </li>
          ))}
        </ul>
      )}
      {progress && <p className={styles.tensor}>{progress.tensor}</p>}
    </div>
  );
}
