/** Looking for a model on the Hub. */
import { create } from 'zustand';
import type { ModelSearchResult } from '../worker/studio_protocol.ts';
import { meetHub } from './hosts_store.ts';
import { parseModelId } from './model_id.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

const DEBOUNCE_MS = 350;

export type Search =
  | { readonly status: 'none' }
  | { readonly status: 'searching' }
  | { readonly status: 'found'; readonly results: readonly ModelSearchResult[] }
  | { readonly status: 'failed'; readonly message: string };

interface SearchState {
  readonly query: string;
  readonly search: Search;
  readonly runId: string;
}

export const useSearch = create<SearchState>()(() => ({ query: '', search: { status: 'none' }, runId: '' }));

let timer: ReturnType<typeof setTimeout> | undefined;

/** Searches a moment after the last keystroke; a complete id or address is not searched for. */
export function setQuery(query: string): void {
  clearTimeout(timer);
  const words = query.trim();
  if (words.length < 2 || parseModelId(words)) {
    useSearch.setState({ query, search: { status: 'none' }, runId: '' });
    return;
  }
  useSearch.setState({ query, search: { status: 'searching' } });
  timer = setTimeout(() => {
    const runId = studioClient.newRunId('search');
    useSearch.setState({ runId });
    meetHub();
    studioClient.send({ type: 'search', runId, query: words });
  }, DEBOUNCE_MS);
}

export function receiveForSearch(signal: StudioSignal): void {
  if (signal.type === 'crashed' || signal.runId !== useSearch.getState().runId) return;
  if (signal.type === 'search-results') {
    useSearch.setState({ search: { status: 'found', results: signal.results } });
  } else if (signal.type === 'failed') {
    useSearch.setState({ search: { status: 'failed', message: signal.message } });
  }
}
