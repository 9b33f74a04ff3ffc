import { parseModelId } from '../../state/model_id.ts';
import { inspectHubModel, useModel } from '../../state/model_store.ts';
import { setQuery, useSearch } from '../../state/search_store.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Input } from '../primitives/input.tsx';
import { locationName } from './location_name.ts';
import styles from './model_search.module.css';

/**
 * One line for both: words are searched for while they are typed; an id or address, or the only one that was found, is
 * looked at on Enter.
 */
export function ModelSearch() {
  const query = useSearch((state) => state.query);
  const only = useSearch(({ search }) =>
    search.status === 'found' && search.results.length === 1 ? search.results[0] : null,
  );
  const named = parseModelId(query);
  const loading = useModel((state) => state.loading !== null);
  // What to do next is then elsewhere.
  const shown = useModel(
    ({ inspection, loaded }) =>
      loaded?.info.name === named?.id ||
      (inspection.status !== 'none' && locationName(inspection.location) === named?.id),
  );
  return (
    <search>
      <form
        className={styles.form}
        onSubmit={(event) => {
          event.preventDefault();
          if (loading) return;
          if (named) inspectHubModel(named.id, named.revision);
          else if (only) inspectHubModel(only.id);
        }}
      >
        <label htmlFor="model-query" className={styles.label}>
          Model id, address, or words to search for
        </label>
        <div className={styles.line}>
          <span className={styles.icon}>
            <Icon name="search" size={18} />
          </span>
          <Input
            id="model-query"
            type="search"
            className={styles.input}
            placeholder="HuggingFaceTB/SmolLM2-135M-Instruct"
            value={query}
            onChange={({ currentTarget }) => setQuery(currentTarget.value)}
          />
          {named && (
            <Button type="submit" kind={shown ? 'plain' : 'primary'} disabled={loading}>
              Look at it
            </Button>
          )}
        </div>
      </form>
    </search>
  );
}
