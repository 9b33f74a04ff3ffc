import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startHub, type TestHub } from '../../e2e/hub/server.ts';
import { DatasetNotFoundError, openHubDataset, selectFiles } from './dataset_files.ts';

describe('selectFiles', () => {
  const converted = [
    'default/train/0000.parquet',
    'default/train/0001.parquet',
    'default/test/0000.parquet',
    'fr/partial-train/0000.parquet',
    'fr/odd_name/0000.parquet',
  ];

  it.each<[string | null, string | null, string[]]>([
    [null, null, converted.slice(0, 2)],
    ['default', 'test', [converted[2]]],
    ['fr', null, [converted[3]]],
    ['fr', 'odd_name', [converted[4]]],
  ])('takes %s, %s', (config, split, paths) => {
    expect(selectFiles(converted, config, split)).toEqual(paths);
  });

  it('finds splits in the names that owners give', () => {
    const own = [
      'README.md',
      'dataset_infos.json',
      'data/train-00000-of-00002.parquet',
      'data/train-00001-of-00002.parquet',
      'data/test.parquet',
    ];
    expect(selectFiles(own, null, null)).toEqual(own.slice(2, 4));
    expect(selectFiles(own, null, 'test')).toEqual(['data/test.parquet']);
    expect(selectFiles(['contest.csv', 'a.txt'], null, null)).toEqual(['contest.csv']);
    expect(selectFiles(['x.json', 'x.jsonl.gz'], null, null)).toEqual(['x.jsonl.gz']);
  });

  it('says what there is', () => {
    expect(() => selectFiles(converted, 'de', null)).toThrow('no configuration de; it has default, fr');
    expect(() => selectFiles(converted, 'default', 'dev')).toThrow('no split dev; it has test, train');
    expect(() => selectFiles(['a.bin', 'config.json'], null, null)).toThrow(DatasetNotFoundError);
  });
});

describe('openHubDataset', () => {
  let hub: TestHub;
  beforeAll(async () => {
    hub = await startHub({
      repositories: [
        { id: 'nibble/converted', files: { 'a.csv': 'x\n1\n' }, converted: { 'default/train/0000.parquet': 'PAR1' } },
        { id: 'nibble/plain', files: { 'train.jsonl': '{"text": "a"}\n', 'README.md': '# x' } },
      ],
    });
  });
  afterAll(() => hub.close());
  const options = (id: string) => ({ id, hubUrl: hub.apiUrl, retry: { attempts: 1 } });

  it('takes what the Hub converted, else what is there', async () => {
    const { folder, paths } = await openHubDataset(options('nibble/converted'), null, null);
    expect(paths).toEqual(['default/train/0000.parquet']);
    const file = await folder.open(paths[0]);
    expect(new TextDecoder().decode(await file.read(0, file.size))).toBe('PAR1');
    const plain = await openHubDataset(options(`${hub.apiUrl}/datasets/nibble/plain`), null, null);
    expect(plain.paths).toEqual(['train.jsonl']);
    const own = await plain.folder.open('train.jsonl');
    expect(await own.read(0, 1)).toHaveLength(1);
  });

  it('says when there is no such dataset, or no such split', async () => {
    await expect(openHubDataset(options('nibble/nothing'), null, null)).rejects.toThrow(
      'nibble/nothing does not exist or is private',
    );
    await expect(openHubDataset(options('nibble/plain'), null, 'test')).rejects.toThrow(
      'nibble/plain has no split test',
    );
  });
});
