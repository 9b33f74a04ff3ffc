import type { MemoryCategory } from '../../worker/protocol.ts';
import type { ModelInfo } from '../../worker/studio_protocol.ts';
import { bytes } from '../format.ts';
import styles from './teach_panel.module.css';
import { waysToTrain } from './ways_to_train.ts';

interface Props {
  readonly info: ModelInfo;
  readonly memory: Readonly<Record<MemoryCategory, number>>;
}

/** The memory of this run beside what other ways of training the same model would take. */
export function MemoryCompared({ info, memory }: Props) {
  const ways = waysToTrain(info.parameters, memory);
  const most = Math.max(...ways.map((way) => way.bytes));
  return (
    <figure className={styles.figure}>
      <figcaption>
        <h3>What it saves</h3>
        <p>Weights, gradients and the optimizer’s two moments. What a step computes in between comes on top of each.</p>
      </figcaption>
      <dl className={styles.ways}>
        {ways.map((way) => (
          <div key={way.name}>
            <dt>
              {way.name} <strong>{bytes(way.bytes)}</strong>
            </dt>
            <dd>
              <span className={styles.track} aria-hidden="true">
                <span className={styles.moved} style={{ width: `${(100 * way.bytes) / most}%` }} />
              </span>
              <span className={styles.note}>{way.note}</span>
            </dd>
          </div>
        ))}
      </dl>
    </figure>
  );
}
