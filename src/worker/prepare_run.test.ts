import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { diskFolder } from '../cli/disk_folder.ts';
import { createDiskScratch } from '../cli/disk_scratch.ts';
import { parseRunConfig } from '../formats/run_config.ts';
import { MemoryDisk } from '../storage/memory_disk.ts';
import { Locator } from './locations.ts';
import type { WorkerPorts } from './ports.ts';
import { prepareRun } from './prepare_run.ts';

const MODEL = path.resolve('e2e/golden/llama-completion/model');
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-prepare-'));
  const table = Array.from({ length: 20 }, (_, i) => `"Ask ${i % 15}, please","Answer ${i % 15}",x`);
  writeFileSync(path.join(directory, 'a.csv'), `frage,antwort,other\n${table.join('\n')}\n`);
  const more = Array.from({ length: 5 }, (_, i) => JSON.stringify({ frage: `More ${i}`, antwort: 'Yes.' }));
  writeFileSync(path.join(directory, 'b.jsonl.gz'), gzipSync(more.join('\n')));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function prepare(change: object) {
  const ports: WorkerPorts = {
    openFolder: (location) => diskFolder(location.kind === 'disk' ? location.path : ''),
    createScratch: createDiskScratch,
    requestGpu: async () => undefined,
    openRunDisk: async () => new MemoryDisk(),
    createTemplateWorker: () => {
      throw new Error('Rows without conversations need no template.');
    },
  };
  const columns = { frage: 'prompt', antwort: 'completion' };
  const config = parseRunConfig({ model: MODEL, data: ['a.csv', 'b.jsonl.gz'], columns, ...change });
  return prepareRun(config, new Locator(ports, { kind: 'disk', path: directory }), new AbortController().signal);
}

it('reads several files by their columns, and holds rows out', async () => {
  const run = await prepare({});
  expect(run.summary).toMatchObject({ examples: 25, droppedCount: 0 });
  expect(run.evalBatches).toBeNull();
  const held = await prepare({ validation_share: 0.2 });
  const examples = { train: held.batches.plan.rows, validation: held.evalBatches?.plan.rows };
  expect(examples).toEqual({ train: 20, validation: 5 });
});

it('leaves duplicates out when told to', async () => {
  const run = await prepare({ remove_duplicates: true });
  expect(run.summary).toMatchObject({ examples: 20, droppedCount: 5 });
  expect(run.summary.dropped[0]).toMatchObject({ file: expect.stringContaining('a.csv'), line: 17, kind: 'duplicate' });
});

it('stops at a row that is none, with its line', async () => {
  await expect(prepare({ columns: { frage: 'prompt', nichts: 'completion' } })).rejects.toThrow(
    'Line 2: nichts is empty',
  );
  await expect(prepare({ data: ['a.csv', 'c.jsonl'] })).rejects.toThrow('c.jsonl');
  expect(existsSync(path.join(directory, 'a.csv'))).toBe(true);
});
