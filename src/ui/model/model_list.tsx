import { inspectHubModel, useModel } from '../../state/model_store.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { type Search, useSearch } from '../../state/search_store.ts';
import { compact } from '../format.ts';
import { Notice } from '../primitives/notice.tsx';
import { CURATED } from './curated.ts';
import { locationName } from './location_name.ts';
import styles from './model_list.module.css';
import { ModelRow } from './model_row.tsx';

/** What the search found, or a few models to begin with. */
export function ModelList() {
  const search = useSearch((state) => state.search);
  const training = useRun((state) => isActive(state.status));
  const loading = useModel((state) => state.loading !== null);
  const chosen = useModel(({ inspection }) =>
    inspection.status === 'none' ? null : locationName(inspection.location),
  );
  const disabled = training || loading;
  const curated = search.status === 'none';
  return (
    <section aria-labelledby="models-title" className={styles.section}>
      <h2 id="models-title">{curated ? 'Good to begin with' : 'On the Hub'}</h2>
      <p className={styles.state} role="status">
        {stateText(search)}
      </p>
      {search.status === 'failed' && (
        <Notice kind="bad" title="The search did not work">
          {search.message}
        </Notice>
      )}
      <ul className={styles.list}>
        {curated
          ? CURATED.map(({ id, parameters, download, note, gated }) => (
              <ModelRow
                key={id}
                id={id}
                chosen={id === chosen}
                gated={gated ?? false}
                facts={[`${parameters} parameters`, `${download} download`]}
                note={note}
                disabled={disabled}
                onChoose={() => inspectHubModel(id)}
              />
            ))
          : search.status === 'found' &&
            search.results.map(({ id, downloads, likes, gated, updatedAt }) => (
              <ModelRow
                key={id}
                id={id}
                chosen={id === chosen}
                gated={gated}
                facts={[`${compact(downloads)} downloads`, `${compact(likes)} likes`, `updated ${day(updatedAt)}`]}
                disabled={disabled}
                onChoose={() => inspectHubModel(id)}
              />
            ))}
      </ul>
    </section>
  );
}

function stateText(search: Search): string {
  switch (search.status) {
    case 'searching':
      return 'Searching …';
    case 'found':
      if (search.results.length === 0) return 'Nothing found. Try fewer words, or paste the model’s full id.';
      return search.results.length === 1 ? '1 model' : `${search.results.length} models, most downloaded first`;
    default:
      return '';
  }
}

function day(iso: string): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime())
    ? 'some time ago'
    : date.toLocaleDateString('en', { month: 'short', year: 'numeric' });
}
