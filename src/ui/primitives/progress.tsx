import { NF4_LEVELS } from './nf4_levels.ts';
import styles from './progress.module.css';

interface Props {
  /** 0 to 1; null when nobody knows how far. */
  readonly share: number | null;
  readonly label: string;
  readonly held?: boolean;
  readonly thin?: boolean;
}

/** A bar with the sixteen levels of NF4 as its marks. */
export function Progress({ share, label, held = false, thin = false }: Props) {
  const value = share === null ? undefined : Math.round(Math.min(1, Math.max(0, share)) * 1000) / 10;
  return (
    <div
      className={styles.track}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={value}
      data-thin={thin || undefined}
      data-held={held || undefined}
    >
      {value === undefined ? (
        <div className={styles.unknown} />
      ) : (
        <div className={styles.fill} style={{ width: `${value}%` }} />
      )}
      {!thin && (
        <svg className={styles.marks} viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
          {NF4_LEVELS.slice(1, -1).map((level) => (
            <line key={level} x1={(level + 1) * 50} x2={(level + 1) * 50} y1="0" y2="1" />
          ))}
        </svg>
      )}
    </div>
  );
}
