import type { LengthFigures } from '../../worker/studio_protocol.ts';
import { count, plural } from '../format.ts';
import styles from './length_histogram.module.css';

interface Props {
  readonly lengths: LengthFigures;
  readonly maxLength: number;
  readonly truncated: number;
}

/** How long rows are in tokens, and where max_length cuts. */
export function LengthHistogram({ lengths, maxLength, truncated }: Props) {
  const { bins, binWidth, p50, p90, p95, p99, max } = lengths;
  const most = Math.max(1, ...bins);
  const reach = bins.length * binWidth;
  const at = (maxLength / reach) * 100;
  const cut = truncated === 0 ? 'no row is cut' : `${plural(truncated, 'row')} cut`;
  const spoken = `Lengths of rows in tokens: half have up to ${count(p50)}, 90 % up to ${count(p90)}, the longest ${count(max)}; max_length is ${count(maxLength)}, ${cut}.`;
  return (
    <figure className={styles.figure}>
      <figcaption className={styles.caption}>
        <span>
          Tokens a row: half up to <strong>{count(p50)}</strong>, 90 % up to <strong>{count(p90)}</strong>, 95 %{' '}
          <strong>{count(p95)}</strong>, 99 % <strong>{count(p99)}</strong>, the longest <strong>{count(max)}</strong>
        </span>
        <span className={truncated > 0 ? styles.cut : undefined}>
          max_length {count(maxLength)}: {cut}
        </span>
      </figcaption>
      <svg
        className={styles.bars}
        viewBox={`0 0 ${bins.length} 100`}
        preserveAspectRatio="none"
        role="img"
        aria-label={spoken}
      >
        {bins.map((rows, i) => {
          // A bin of few rows is still seen.
          const height = rows === 0 ? 0 : Math.max(1.5, (rows / most) * 96);
          const beyond = i * binWidth >= maxLength;
          return (
            <rect
              // biome-ignore lint/suspicious/noArrayIndexKey: bins have no other name.
              key={i}
              x={i + 0.08}
              width={0.84}
              y={100 - height}
              height={height}
              className={beyond ? styles.beyond : styles.bar}
            />
          );
        })}
        {at <= 100 && (
          <line
            x1={(at * bins.length) / 100}
            x2={(at * bins.length) / 100}
            y1="0"
            y2="100"
            className={styles.limit}
            vectorEffect="non-scaling-stroke"
          />
        )}
      </svg>
      <p className={styles.axis} aria-hidden="true">
        <span>0</span>
        <span>
          {count(reach)}
          {max > reach ? ' and more' : ''}
        </span>
      </p>
    </figure>
  );
}
