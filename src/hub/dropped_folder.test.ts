import { expect, it } from 'vitest';
import { FileMissingError, readText } from '../formats/range_source.ts';
import { DroppedFileError, droppedFolder } from './dropped_folder.ts';

const file = (path: string, text = path) => ({ path, file: new Blob([text]) });

it('reads slices of what was dropped', async () => {
  const folder = droppedFolder('my model', [file('config.json', '{}'), file('sub/a.txt', 'abcdef')]);
  expect(await readText(folder, 'config.json', 10)).toBe('{}');
  const source = await folder.open('sub/a.txt');
  expect([source.name, source.size]).toEqual(['my model/sub/a.txt', 6]);
  expect(new TextDecoder().decode(await source.read(2, 4))).toBe('cd');
  await expect(source.read(4, 7)).rejects.toThrow(RangeError);
  expect(await folder.has('absent')).toBe(false);
  await expect(folder.open('absent')).rejects.toThrow(FileMissingError);
});

it.each([
  ['a folder dropped as a whole', ['model/config.json', 'model/tokenizer.json', 'model/.DS_Store']],
  ['files beside it', ['.DS_Store', 'model/config.json', 'model/tokenizer.json']],
  ['a deeper copy', ['a/model/config.json', 'a/model/tokenizer.json', 'a/model/onnx/config.json']],
  ['an adapter', ['./run/adapter_config.json', './run/tokenizer.json']],
  ['backslashes', ['model\\config.json', 'model\\tokenizer.json']],
  ['no config at all', ['x/y/tokenizer.json', 'x/y/z/other.json']],
])('finds the model in %s', async (_, paths) => {
  const folder = droppedFolder(
    'dropped',
    paths.map((path) => file(path)),
  );
  expect(await folder.has('tokenizer.json')).toBe(true);
});

it('keeps to the folder that it chose', async () => {
  const folder = droppedFolder('dropped', [file('model/config.json'), file('other/config2.json'), file('../up.json')]);
  for (const path of ['other/config2.json', '../up.json', 'up.json', '../other/config2.json']) {
    expect(await folder.has(path), path).toBe(false);
  }
  expect(await droppedFolder('empty', []).has('config.json')).toBe(false);
});

it('says when a file is gone', async () => {
  const gone = new Blob(['abc']);
  Object.defineProperty(gone, 'slice', {
    value: () => ({ arrayBuffer: () => Promise.reject(new DOMException('x', 'NotReadableError')) }),
  });
  const source = await droppedFolder('dropped', [{ path: 'config.json', file: gone }]).open('config.json');
  await expect(source.read(0, 3)).rejects.toThrow(DroppedFileError);
});
