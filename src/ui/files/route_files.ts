/** What dropped files are for, told by their names: wherever on the page they fall, they find their place. */
import { openAdapter } from '../../state/adapter_store.ts';
import { inspectModel } from '../../state/model_store.ts';
import { goTo } from '../../state/navigation.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { openData } from '../../state/studio.ts';
import type { Picked } from './dropped_files.ts';

export type Route =
  | { readonly kind: 'model' | 'adapter'; readonly picked: Picked }
  | { readonly kind: 'data'; readonly files: readonly File[] }
  | { readonly kind: 'refused'; readonly reason: string };

/** As data/files/open_table.ts has it. */
const DATA_FILE = /\.(jsonl|ndjson|json|csv|tsv|parquet|txt|text|md|markdown)(\.gz)?$/i;

export function routeOf(picked: Picked): Route {
  const names = picked.files.map(({ path }) => path.split('/').at(-1) ?? path);
  if (names.some((name) => name.endsWith('.zip')) || names.includes('adapter_config.json')) {
    return { kind: 'adapter', picked };
  }
  if (names.includes('config.json')) return { kind: 'model', picked };
  const readable = picked.files.filter(({ path }) => DATA_FILE.test(path));
  // A dataset's folder has a README beside its tables.
  const tables = readable.filter(({ path }) => !/\.(txt|text|md|markdown)(\.gz)?$/i.test(path));
  const data = tables.length > 0 ? tables : readable;
  if (data.length > 0) return { kind: 'data', files: data.map(({ file }) => file) };
  const what = picked.folder ?? names[0] ?? 'This';
  return {
    kind: 'refused',
    reason:
      `${what} is not something to train with. Drop a dataset (.jsonl, .json, .csv, .tsv, .parquet, .txt, .md), ` +
      'a model folder with config.json, or an adapter (.zip).',
  };
}

/** Takes the files to their screen; answers why not where they cannot be used. */
export function takeFiles(picked: Picked): string | null {
  const route = routeOf(picked);
  if (route.kind === 'refused') return route.reason;
  if (isActive(useRun.getState().status))
    return 'A run is under way. Stop it, or wait for its end, then drop the files.';
  switch (route.kind) {
    case 'data':
      openData({ kind: 'files', files: route.files });
      goTo('data');
      return null;
    case 'model':
      inspectModel({ kind: 'files', name: picked.folder ?? 'dropped files', files: picked.files });
      goTo('model');
      return null;
    case 'adapter': {
      const files = picked.files.filter(({ path }) => !path.includes('/')).map(({ file }) => file);
      openAdapter(files, picked.folder ?? (files.length > 1 ? 'the dropped adapter' : null));
      goTo('train');
      return null;
    }
    default:
      return route satisfies never;
  }
}
