/** What dropped files are for, told by their names: wherever on the page they fall, they find their place. */
import { openAdapter } from '../../state/adapter_store.ts';
import { inspectModel } from '../../state/model_store.ts';
import { goTo } from '../../state/navigation.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { openDataFile } from '../../state/studio.ts';
import type { Picked } from './dropped_files.ts';

export type Route =
  | { readonly kind: 'model' | 'adapter'; readonly picked: Picked }
  | { readonly kind: 'data'; readonly file: File }
  | { readonly kind: 'refused'; readonly reason: string };

export function routeOf(picked: Picked): Route {
  const names = picked.files.map(({ path }) => path.split('/').at(-1) ?? path);
  if (names.some((name) => name.endsWith('.zip')) || names.includes('adapter_config.json')) {
    return { kind: 'adapter', picked };
  }
  if (names.includes('config.json')) return { kind: 'model', picked };
  const data = picked.files.filter(({ path }) => path.endsWith('.jsonl'));
  if (data.length > 1) return { kind: 'refused', reason: 'Drop one dataset at a time.' };
  if (data[0]) return { kind: 'data', file: data[0].file };
  const what = picked.folder ?? names[0] ?? 'This';
  return {
    kind: 'refused',
    reason: `${what} is not something to train with. Drop a .jsonl dataset, a model folder with config.json, or an adapter (.zip).`,
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
      openDataFile(route.file);
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
