import { inspectModel } from '../../state/model_store.ts';
import { goTo } from '../../state/navigation.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { deleteModel, useStorage } from '../../state/storage_store.ts';
import type { CachedModelSummary } from '../../worker/studio_protocol.ts';
import { bytes } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Panel } from '../primitives/panel.tsx';
import styles from './runs.module.css';

/** Quantized weights that are here: they load without a download. */
export function CachedModels({ models }: { readonly models: readonly CachedModelSummary[] }) {
  const deleting = useStorage((state) => state.deleting);
  const busy = useRun((state) => isActive(state.status));
  return (
    <Panel
      title="Models on this disk"
      lead="Quantized weights. Deleted ones are downloaded again when they are needed."
    >
      <ul className={styles.models}>
        {models.map(({ key, name, commit, bytes: size, complete }) => (
          <li key={key}>
            <span className={styles.what}>
              <strong>{name}</strong>
              <span className={styles.note}>
                {bytes(size)}
                {commit && `, commit ${commit.slice(0, 7)}`}
                {!complete && ', a part: the next download goes on from there'}
              </span>
            </span>
            {complete && (
              <Button
                small
                disabled={busy}
                onClick={() => {
                  inspectModel({ kind: 'cached', key, name });
                  goTo('model');
                }}
              >
                Use it
              </Button>
            )}
            <Button small busy={deleting === key} aria-label={`Delete ${name}`} onClick={() => deleteModel(key)}>
              Delete
            </Button>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
