import { createHash } from 'node:crypto';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { memoryFolder } from '../../src/formats/testing.ts';
import { Repository } from './repository.ts';
import { startHub, type TestHub } from './server.ts';
import { INDEX } from './shards.ts';

const MODEL = path.resolve(import.meta.dirname, '../golden/llama-text/model');
const ID = 'nibble/llama';
const WEIGHTS = 'model.safetensors';
const PAGE = 'http://localhost:5173';
let hub: TestHub;

beforeEach(async () => {
  hub = await startHub({ repositories: [{ id: ID, directory: MODEL, gated: ['hf_good'] }], tokens: ['hf_other'] });
});
afterEach(() => hub.close());

const get = (url: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
  fetch(url, { headers, redirect: 'manual', ...init });
const resolve = (file: string, token: string | null = 'hf_good') =>
  get(`${hub.apiUrl}/${ID}/resolve/main/${file}`, token ? { authorization: `Bearer ${token}` } : {});

it('sends readers of weights to the storage with a signed address, and tells what they need', async () => {
  const response = await resolve(WEIGHTS);
  const { sha, files } = hub.repository(ID).head;
  const { oid, content } = files.get(WEIGHTS)!;
  expect(response.status).toBe(302);
  expect(response.headers.get('x-repo-commit')).toBe(sha);
  expect(response.headers.get('x-linked-size')).toBe(String(content.size));
  expect(response.headers.get('x-linked-etag')).toBe(`"${oid}"`);
  const location = response.headers.get('location')!;
  expect(location.startsWith(`${hub.cdnUrl}/repos/${oid}?`)).toBe(true);
  const part = await get(location, { range: 'bytes=8-15' });
  expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 8-15/${content.size}`]);
  expect(part.headers.get('etag')).toBe(`"${oid}"`);
  expect(Buffer.from(await part.arrayBuffer())).toEqual(await content.bytes(8, 16));
  expect((await get(location, { range: `bytes=${content.size}-` })).status).toBe(416);
  expect((await get(location)).status).toBe(400);
  const same = await get(location, { range: 'bytes=0-0', 'if-range': `"${oid}"` });
  const other = await get(location, { range: 'bytes=0-0', 'if-range': '"other"' });
  expect([same.status, other.status]).toEqual([206, 200]);
  await other.body?.cancel();
  expect((await get(`${location}0`, { range: 'bytes=0-0' })).status).toBe(206);
  expect((await get(location.replace('Signature=', 'Signature=x'), { range: 'bytes=0-0' })).status).toBe(403);
  hub.faults.expireSignatures();
  expect((await get(location, { range: 'bytes=0-0' })).status).toBe(403);
});

it('keeps small files on its own origin', async () => {
  const response = await resolve('config.json');
  expect(response.status).toBe(307);
  const location = response.headers.get('location')!;
  expect(new URL(location).origin).toBe(hub.apiUrl);
  const file = await get(location, { authorization: 'Bearer hf_good', range: 'bytes=0-0' });
  expect([file.status, await file.text()]).toEqual([206, '{']);
});

it('refuses as the Hub does', async () => {
  const refusal = async (response: Response) => [response.status, response.headers.get('x-error-code')];
  expect(await refusal(await resolve(WEIGHTS, null))).toEqual([401, 'GatedRepo']);
  expect(await refusal(await resolve(WEIGHTS, 'hf_other'))).toEqual([403, 'GatedRepo']);
  expect(await refusal(await resolve(WEIGHTS, 'hf_unknown'))).toEqual([401, null]);
  expect(await refusal(await resolve('absent'))).toEqual([404, 'EntryNotFound']);
  expect(await refusal(await get(`${hub.apiUrl}/api/models/${ID}/revision/v9`))).toEqual([404, 'RevisionNotFound']);
  expect(await refusal(await get(`${hub.apiUrl}/api/models/nibble/none`))).toEqual([401, 'RepoNotFound']);
  const token = { authorization: 'Bearer hf_other' };
  expect(await refusal(await get(`${hub.apiUrl}/api/models/nibble/none`, token))).toEqual([404, 'RepoNotFound']);
});

it('answers preflights, and lets no token go to the storage', async () => {
  const ask = (url: string, headers: string) =>
    get(
      url,
      { origin: PAGE, 'access-control-request-method': 'GET', 'access-control-request-headers': headers },
      {
        method: 'OPTIONS',
      },
    );
  const api = await ask(`${hub.apiUrl}/${ID}/resolve/main/${WEIGHTS}`, 'authorization,range');
  expect([api.status, api.headers.get('access-control-allow-headers')]).toEqual([200, 'authorization, range']);
  expect(api.headers.get('access-control-allow-origin')).toBe(PAGE);
  expect((await ask(`${hub.cdnUrl}/repos/0`, 'if-range,range')).status).toBe(200);
  expect((await ask(`${hub.cdnUrl}/repos/0`, 'authorization')).status).toBe(403);
  hub.faults.refusePreflights = true;
  expect((await ask(`${hub.cdnUrl}/repos/0`, 'if-range')).status).toBe(403);
});

it('lists paths by POST, and folders', async () => {
  await hub.repository(ID).push({ 'sub/deep/a.txt': 'a', 'sub/b.txt': 'b' });
  const body = JSON.stringify({ paths: ['config.json', 'absent'] });
  const info = await get(`${hub.apiUrl}/api/models/${ID}/paths-info/main`, {}, { method: 'POST', body });
  expect((await info.json()).map(({ path: name }: { path: string }) => name)).toEqual(['config.json']);
  const names = async (query: string) => {
    const tree = await get(`${hub.apiUrl}/api/models/${ID}/tree/main/sub?${query}`);
    return (await tree.json()).map(({ type, path: name }: Record<string, string>) => `${type} ${name}`);
  };
  expect(await names('recursive=false')).toEqual(['file sub/b.txt', 'directory sub/deep']);
  expect(await names('recursive=true')).toEqual(['file sub/b.txt', 'directory sub/deep', 'file sub/deep/a.txt']);
});

it('puts a checkpoint into shards with the same tensors', async () => {
  const read = async (shards: number) => {
    const { files } = (await Repository.create({ id: ID, directory: MODEL, shards })).head;
    const contents: Record<string, Uint8Array> = {};
    for (const [name, { content }] of files) if (/safetensors/.test(name)) contents[name] = await content.bytes();
    expect(Object.keys(contents)).toHaveLength(shards === 1 ? 1 : shards + 1);
    expect(INDEX in contents).toBe(shards > 1);
    const checkpoint = await openCheckpoint(memoryFolder('model', contents));
    const hashes = new Map<string, string>();
    for (const [name, { begin, end }] of checkpoint.tensors) {
      hashes.set(
        name,
        createHash('sha256')
          .update(await checkpoint.read(name, 0, end - begin))
          .digest('hex'),
      );
    }
    return [...hashes].sort();
  };
  expect(await read(4)).toEqual(await read(1));
});

it('makes weights of any size from a seed, any range at once', async () => {
  const config = {
    model_type: 'llama',
    hidden_size: 4096,
    intermediate_size: 14336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128256,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    hidden_act: 'silu',
    tie_word_embeddings: false,
  };
  for (const dtype of ['BF16', 'F32'] as const) {
    const make = (seed: number) => Repository.create({ id: ID, synthetic: { config, dtype, seed }, shards: 4 });
    const name = 'model-00003-of-00004.safetensors';
    const { content } = (await make(1)).head.files.get(name)!;
    expect(content.size).toBeGreaterThan(3e9);
    const [begin, end] = [content.size - 100_000, content.size];
    const bytes = await content.bytes(begin, end);
    expect(await content.bytes(begin + 12_345, begin + 12_400)).toEqual(bytes.subarray(12_345, 12_400));
    expect((await (await make(1)).head.files.get(name)!.content.bytes(begin, end)).equals(bytes)).toBe(true);
    expect((await (await make(2)).head.files.get(name)!.content.bytes(begin, end)).equals(bytes)).toBe(false);
    const floats = new Float32Array(
      dtype === 'F32'
        ? bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
        : new Uint32Array(new Uint16Array(bytes.buffer.slice(bytes.byteOffset)).map(Number)).map((h) => h << 16).buffer,
    );
    expect(floats.every((x) => Math.abs(x) > 2 ** -9 && Math.abs(x) < 1)).toBe(true);
    expect(new Set(floats).size).toBeGreaterThan(500);
  }
});
