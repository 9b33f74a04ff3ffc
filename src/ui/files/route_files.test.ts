import { expect, it } from 'vitest';
import { routeOf } from './route_files.ts';

const picked = (folder: string | null, ...paths: string[]) => ({
  folder,
  files: paths.map((path) => ({ path, file: new File(['x'], path) })),
});

it.each([
  ['a dataset', picked(null, 'data.jsonl'), 'data'],
  ['a model folder', picked('smol', 'config.json', 'model.safetensors'), 'model'],
  ['a model in a folder', picked('hub', 'snapshot/config.json', 'snapshot/model.safetensors'), 'model'],
  ['a zip', picked(null, 'adapter.zip'), 'adapter'],
  ['an adapter folder', picked('out', 'adapter_config.json', 'adapter_model.safetensors'), 'adapter'],
  ['two datasets', picked(null, 'a.jsonl', 'b.csv.gz'), 'data'],
  ['a folder of data', picked('set', 'train-0.parquet', 'README.md'), 'data'],
  ['a picture', picked(null, 'photo.jpeg'), 'refused'],
] as const)('knows %s', (_, files, kind) => {
  expect(routeOf(files).kind).toBe(kind);
});
