import { expect, it } from 'vitest';
import { memoryScratch } from '../data/files/gzip.ts';
import { parseRunConfig } from '../formats/run_config.ts';
import { memoryFolder } from '../formats/testing.ts';
import { MemoryDisk } from '../storage/memory_disk.ts';
import { Locator, splitPath } from './locations.ts';
import type { WorkerPorts } from './ports.ts';
import type { FolderLocation, WorkerEvent } from './protocol.ts';
import { runCommand } from './session.ts';

const noGpu = async () => undefined;
const openRunDisk = async () => new MemoryDisk();
const createTemplateWorker = () => {
  throw new Error('No conversation gets this far.');
};

async function events(ports: WorkerPorts): Promise<WorkerEvent[]> {
  const seen: WorkerEvent[] = [];
  const config = parseRunConfig({ model: 'model', data: 'data.jsonl' });
  const command = { type: 'train' as const, runId: 'r1', config, base: { kind: 'disk' as const, path: '/runs' } };
  await runCommand(command, (event) => seen.push(event), ports, new AbortController().signal);
  return seen;
}

it('ends a run that cannot begin with one named event', async () => {
  const openFolder = () => memoryFolder('model', { 'config.json': '{"model_type": "mamba"}' });
  const [event, ...rest] = await events({
    openFolder,
    createScratch: memoryScratch(),
    requestGpu: noGpu,
    createTemplateWorker,
    openRunDisk,
  });
  expect(rest).toEqual([]);
  expect(event).toMatchObject({ type: 'failed', runId: 'r1', name: 'UnknownArchitectureError' });
});

it('survives what is thrown without being an error', async () => {
  const openFolder = () => {
    throw 'a string';
  };
  expect(
    await events({ openFolder, createScratch: memoryScratch(), requestGpu: noGpu, createTemplateWorker, openRunDisk }),
  ).toEqual([{ type: 'failed', runId: 'r1', name: 'Error', message: 'a string' }]);
});

it('says that it was stopped, not that something was aborted', async () => {
  const signal = AbortSignal.abort();
  const openFolder = () => {
    throw signal.reason;
  };
  const seen: WorkerEvent[] = [];
  const base = { kind: 'disk' as const, path: '/case' };
  await runCommand(
    { type: 'parity', runId: 'r2', base },
    (e) => seen.push(e),
    { openFolder, createScratch: memoryScratch(), requestGpu: noGpu, createTemplateWorker, openRunDisk },
    signal,
  );
  expect(seen).toMatchObject([{ type: 'failed', runId: 'r2', name: 'StoppedError' }]);
});

it('finds folders below the base, elsewhere and by full address', () => {
  const opened: FolderLocation[] = [];
  const ports: WorkerPorts = {
    openFolder(location) {
      opened.push(location);
      return memoryFolder('any', {});
    },
    createScratch: memoryScratch(),
    requestGpu: noGpu,
    createTemplateWorker,
    openRunDisk,
  };
  const disk = new Locator(ports, { kind: 'disk', path: '/runs/a' }, { '../b': { kind: 'disk', path: '/elsewhere' } });
  for (const path of ['model', '/models/x', 'C:\\models', '../b']) disk.folder(path);
  const http = new Locator(ports, { kind: 'http', url: 'http://host/run' });
  for (const path of ['my model', '../shared#1', 'https://other/m']) http.folder(path);
  http.file('data.jsonl');
  const where = opened.map((location) => (location.kind === 'disk' ? location.path : location.url));
  expect(where).toEqual([
    '/runs/a/model',
    '/models/x',
    'C:\\models',
    '/elsewhere',
    'http://host/run/my%20model/',
    'http://host/shared%231/',
    'https://other/m',
    'http://host/run/',
  ]);
});

it.each([
  ['data.jsonl', ['.', 'data.jsonl']],
  ['../a/b.jsonl', ['../a', 'b.jsonl']],
  ['/x.jsonl', ['/', 'x.jsonl']],
  ['C:\\data\\x.jsonl', ['C:\\data', 'x.jsonl']],
])('splits %s', (path, expected) => {
  expect(splitPath(path)).toEqual(expected);
});
