import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { TestHub } from '../../e2e/hub/server.ts';
import { checkCheckpoint } from '../formats/check_checkpoint.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readModelConfig } from '../formats/model_config.ts';
import { FileMissingError, readText } from '../formats/range_source.ts';
import { GatedModelError, HubAnswerError, ModelNotFoundError } from './errors.ts';
import type { HubProgress } from './model_folder.ts';
import {
  MODEL_ID,
  openQuickly,
  readAllTensors,
  SHARDED_MODEL,
  SYNTHETIC_CONFIG,
  sha256,
  startTestHub,
} from './testing.ts';

let hub: TestHub;
afterEach(() => hub?.close());

const SHARDS = readdirSync(SHARDED_MODEL).filter((name) => name.endsWith('.safetensors'));
const synthetic = (shards: number) => ({
  id: 'nibble/synthetic',
  synthetic: { config: SYNTHETIC_CONFIG, dtype: 'BF16' as const, seed: 7 },
  shards,
});

it('reads a sharded model that is the one on disk, weights by range only, each byte once', async () => {
  hub = await startTestHub({ pageSize: 4 });
  const progress: HubProgress[] = [];
  const folder = await openQuickly(hub, { onProgress: (one) => progress.push(one), progressMs: 0 });
  expect(folder.commit).toBe(hub.repository(MODEL_ID).head.sha);
  expect(folder.files.map(({ path: name }) => name).sort()).toEqual(readdirSync(SHARDED_MODEL).sort());
  expect(folder.name).toBe(MODEL_ID);
  expect(hub.log.reads()).toEqual([]);
  // The list is the commit's too: the branch may move between two requests.
  const lists = hub.log.entries.filter(({ url }) => url.includes('/tree/'));
  expect(lists.length).toBeGreaterThan(1);
  expect(lists.every(({ url }) => url.includes(`/tree/${folder.commit}`))).toBe(true);
  const checkpoint = await openCheckpoint(folder);
  checkCheckpoint(await readModelConfig(folder), checkpoint);
  const hashes = await readAllTensors(checkpoint);
  for (const [name, { begin, end, file }] of checkpoint.tensors) {
    const onDisk = readFileSync(path.join(SHARDED_MODEL, file.source.name.slice(MODEL_ID.length + 1)));
    expect(hashes.get(name), name).toBe(sha256(onDisk.subarray(begin, end)));
  }
  hub.log.expectEachByteOnce(SHARDS);
  for (const shard of SHARDS) {
    expect(hub.log.bytesServed(shard).once).toBe(readFileSync(path.join(SHARDED_MODEL, shard)).length);
    expect(hub.log.reads(shard).every(({ origin, status }) => origin === 'cdn' && status === 206)).toBe(true);
  }
  // Files that are not weights come from the API's own origin.
  expect(hub.log.reads('config.json').map(({ origin }) => origin)).toEqual(['api']);
  const last = progress.at(-1)!;
  expect(last.files.find(({ file }) => file === SHARDS[0])).toEqual({
    file: SHARDS[0],
    loadedBytes: readFileSync(path.join(SHARDED_MODEL, SHARDS[0]!)).length,
    totalBytes: readFileSync(path.join(SHARDED_MODEL, SHARDS[0]!)).length,
  });
  expect(last.loadedBytes).toBe(last.totalBytes);
  expect(last.hosts).toEqual([new URL(hub.apiUrl).host, new URL(hub.cdnUrl).host]);
});

it('reads files byte for byte, small ones from memory the second time', async () => {
  hub = await startTestHub();
  const folder = await openQuickly(hub);
  for (const name of ['tokenizer.json', 'chat_template.jinja', SHARDS[0]!]) {
    const file = await folder.open(name);
    const onDisk = readFileSync(path.join(SHARDED_MODEL, name));
    expect(file.size).toBe(onDisk.length);
    expect(sha256(await file.read(0, file.size))).toBe(sha256(onDisk));
    expect(sha256(await file.read(0, file.size))).toBe(sha256(onDisk));
    expect(hub.log.reads(name)).toHaveLength(1);
    await expect(file.read(0, file.size + 1)).rejects.toThrow(RangeError);
    expect(await file.read(5, 5)).toHaveLength(0);
  }
});

it('reads large files in the order of use: a request for many small tensors, nothing twice', async () => {
  hub = await startTestHub({ repositories: [synthetic(2)] });
  const folder = await openQuickly(hub, { id: 'nibble/synthetic' });
  const checkpoint = await openCheckpoint(folder);
  const hashes = await readAllTensors(checkpoint);
  const { files } = hub.repository('nibble/synthetic').head;
  for (const [name, { begin, end, file }] of checkpoint.tensors) {
    const content = files.get(file.source.name.slice('nibble/synthetic/'.length))!.content;
    expect(hashes.get(name), name).toBe(sha256(await content.bytes(begin, end)));
  }
  const weights = [...files.keys()].filter((name) => name.endsWith('.safetensors'));
  expect(weights).toHaveLength(2);
  hub.log.expectEachByteOnce(weights);
  for (const name of weights) expect(hub.log.bytesServed(name).once).toBe(files.get(name)!.content.size);
  expect(hub.log.reads(/safetensors$/).length).toBeLessThan(checkpoint.tensors.size);
});

it('stays at the commit it was opened at', async () => {
  hub = await startTestHub();
  const folder = await openQuickly(hub);
  const before = readFileSync(path.join(SHARDED_MODEL, 'config.json'), 'utf8');
  await hub.repository(MODEL_ID).push({ 'config.json': '{}', 'tokenizer.json': null });
  expect(await readText(folder, 'config.json', 10_000)).toBe(before);
  expect((await (await folder.open('tokenizer.json')).read(0, 1)).length).toBe(1);
  const later = await openQuickly(hub);
  expect(later.commit).not.toBe(folder.commit);
  expect(await readText(later, 'config.json', 10_000)).toBe('{}');
  expect(await later.has('tokenizer.json')).toBe(false);
  const pinned = await openQuickly(hub, { revision: folder.commit });
  expect(await readText(pinned, 'config.json', 10_000)).toBe(before);
});

it('takes a pasted address and follows a renamed model', async () => {
  hub = await startTestHub({
    repositories: [{ id: MODEL_ID, directory: SHARDED_MODEL, formerId: 'nibble/old-name' }],
  });
  const { commit } = await openQuickly(hub, { id: `${hub.apiUrl}/${MODEL_ID}/tree/main` });
  const folder = await openQuickly(hub, { id: 'nibble/old-name', revision: commit });
  expect([folder.id, folder.commit]).toEqual([MODEL_ID, commit]);
  expect(await folder.has('config.json')).toBe(true);
});

it('asks for no file that the listing lacks, nor one outside', async () => {
  hub = await startTestHub();
  const folder = await openQuickly(hub);
  for (const name of ['absent.json', '../other/config.json', '/etc/passwd', '']) {
    expect(await folder.has(name)).toBe(false);
    await expect(folder.open(name)).rejects.toThrow(FileMissingError);
  }
  expect(hub.log.reads()).toEqual([]);
});

it('refuses a listing with names that lead outside', async () => {
  hub = await startTestHub({
    repositories: [{ id: 'nibble/evil', files: { '../../etc/passwd': 'x', 'config.json': '{}' } }],
  });
  await expect(openQuickly(hub, { id: 'nibble/evil' })).rejects.toThrow(HubAnswerError);
});

it('refuses an index with a missing shard, or one that names a file outside', async () => {
  const index = 'model.safetensors.index.json';
  const outside = JSON.stringify({ weight_map: { 'model.norm.weight': '../other/model.safetensors' } });
  hub = await startTestHub({
    repositories: [
      { id: 'nibble/missing', directory: SHARDED_MODEL, files: { [SHARDS[1]!]: null } },
      { id: 'nibble/outside', directory: SHARDED_MODEL, files: { [index]: outside } },
    ],
  });
  await expect(openCheckpoint(await openQuickly(hub, { id: 'nibble/missing' }))).rejects.toThrow(
    /the shard .* is missing/,
  );
  await expect(openCheckpoint(await openQuickly(hub, { id: 'nibble/outside' }))).rejects.toThrow(
    /Only .safetensors files inside/,
  );
});

it('says which model or revision there is not', async () => {
  hub = await startTestHub({ tokens: ['hf_someone'] });
  await expect(openQuickly(hub, { revision: 'v9' })).rejects.toThrow(/has no such revision/);
  // Without a token the Hub does not tell a private model from none.
  await expect(openQuickly(hub, { id: 'nibble/none' })).rejects.toThrow(/does not exist or is private/);
  await expect(openQuickly(hub, { id: 'nibble/none', token: () => 'hf_someone' })).rejects.toThrow(ModelNotFoundError);
});

it('asks for a token for a gated model, and goes on with it; the storage never sees it', async () => {
  const [good, other] = ['hf_good', 'hf_other'];
  hub = await startTestHub({
    repositories: [{ id: MODEL_ID, directory: SHARDED_MODEL, gated: [good] }],
    tokens: [other],
  });
  let token: string | null = null;
  const folder = await openQuickly(hub, { token: () => token });
  expect(folder.gated).toBe(true);
  const shard = await folder.open(SHARDS[0]!);
  await expect(shard.read(0, 8)).rejects.toThrow(/is gated\. Accept its licence .* give an access token/);
  token = 'hf_revoked';
  await expect(shard.read(0, 8)).rejects.toThrow(/may have expired or been revoked/);
  token = other;
  await expect(shard.read(0, 8)).rejects.toThrow(/has no access to this model/);
  token = 'hf_bad\nvalue';
  const error = await shard.read(0, 8).catch((reason: Error) => reason);
  expect(error).toBeInstanceOf(GatedModelError);
  expect(String(error)).not.toContain('value');
  token = good;
  await readAllTensors(await openCheckpoint(folder));
  hub.log.expectEachByteOnce(SHARDS);
  expect(
    hub.log.entries.some(({ origin, authorization }) => origin === 'api' && authorization === `Bearer ${good}`),
  ).toBe(true);
  hub.log.expectTokenOnlyAtApi(good);
});

it('keeps the token from the storage when it reads there directly, addresses expire and connections break', async () => {
  hub = await startTestHub({ repositories: [{ ...synthetic(1), gated: ['hf_good'] }] });
  const folder = await openQuickly(hub, { id: 'nibble/synthetic', token: () => 'hf_good' });
  const file = await folder.open('model.safetensors');
  hub.faults.add({ origin: 'cdn', cutAtFraction: 0.5 });
  const direct = () => hub.log.entries.filter(({ origin }) => origin === 'cdn').length;
  for (let at = 0; at < file.size; at += 900_000) {
    if (at === 2_700_000) hub.faults.expireSignatures();
    await file.read(at, Math.min(file.size, at + 900_000));
  }
  expect(direct()).toBeGreaterThan(4);
  expect(hub.log.entries.filter(({ status }) => status === 302)).toHaveLength(2);
  hub.log.expectTokenOnlyAtApi('hf_good');
  hub.log.expectEachByteOnce(['model.safetensors']);
});

it('sends no token without one (control), and finds a private model with one', async () => {
  hub = await startTestHub({
    repositories: [
      { id: MODEL_ID, directory: SHARDED_MODEL },
      { id: 'nibble/private', directory: SHARDED_MODEL, private: ['hf_mine'] },
    ],
  });
  await readAllTensors(await openCheckpoint(await openQuickly(hub)));
  expect(hub.log.entries.every(({ authorization }) => authorization === null)).toBe(true);
  await expect(openQuickly(hub, { id: 'nibble/private' })).rejects.toThrow(GatedModelError);
  const folder = await openQuickly(hub, { id: 'nibble/private', token: () => ' hf_mine\n' });
  expect(await (await folder.open(SHARDS[0]!)).read(0, 8)).toHaveLength(8);
  hub.log.expectTokenOnlyAtApi('hf_mine');
});

it('ends reads when it is closed', async () => {
  hub = await startTestHub();
  const folder = await openQuickly(hub);
  const file = await folder.open(SHARDS[0]!);
  hub.faults.add({ origin: 'cdn', delayMs: 500 });
  const reading = file.read(0, 100);
  folder.close();
  await expect(reading).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
  await expect(file.read(0, 8)).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
});
