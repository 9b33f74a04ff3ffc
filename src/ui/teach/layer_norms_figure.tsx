import { useRun } from '../../state/run_store.ts';
import { useTeach } from '../../state/teach_store.ts';
import styles from './teach_panel.module.css';

/** How far the adapter has moved each layer, a bar a layer: it begins at nothing. */
export function LayerNormsFigure() {
  const runId = useRun((state) => state.runId);
  const { norms, trained } = useTeach();
  const told = trained === runId ? norms : [];
  const last = told.at(-1);
  const most = Math.max(1e-9, ...told.flatMap((one) => one.norms));
  return (
    <figure className={styles.figure}>
      <figcaption>
        <h3>What the adapter adds</h3>
        <p>
          Beside each frozen matrix two thin ones, A and B, are trained. B begins at zero: the size of B·A is how far a
          layer has been moved.
        </p>
      </figcaption>
      {last ? (
        <>
          <ol className={styles.layers} aria-label={`Norm of B·A by layer after ${last.step} steps`}>
            {last.norms.map((norm, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: layers have no other name.
              <li key={i}>
                <span>{i}</span>
                <span className={styles.track}>
                  <span className={styles.moved} style={{ width: `${(100 * norm) / most}%` }} />
                </span>
                <span>{norm.toPrecision(3)}</span>
              </li>
            ))}
          </ol>
          <p className={styles.note}>By layer, after {last.step} steps.</p>
        </>
      ) : (
        <p className={styles.note}>Told when the first steps are done, of adapters up to 8 million parameters.</p>
      )}
    </figure>
  );
}
