import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from './checkpoint.ts';
import { SafetensorsError } from './safetensors.ts';
import { writeSafetensors } from './safetensors_writer.ts';
import { memoryFolder, rawSafetensors } from './testing.ts';

const shard = (...names: string[]) =>
  writeSafetensors(
    new Map(names.map((name) => [name, { dtype: 'F32' as const, shape: [2], data: new Float32Array([1, 2]) }])),
    new Map(),
  );
const index = (weight_map: unknown) => JSON.stringify({ metadata: { total_size: 16 }, weight_map });
const A = 'model-00001-of-00002.safetensors';
const B = 'model-00002-of-00002.safetensors';
const INDEX = 'model.safetensors.index.json';
const sharded = { [INDEX]: index({ a: A, b: B }), [A]: shard('a'), [B]: shard('b') };

async function refusal(files: Record<string, string | Uint8Array>): Promise<string> {
  const error: unknown = await openCheckpoint(memoryFolder('m', files)).then(
    () => 'accepted',
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SafetensorsError);
  return (error as SafetensorsError).message;
}

describe('openCheckpoint', () => {
  test('reads one file', async () => {
    const checkpoint = await openCheckpoint(memoryFolder('m', { 'model.safetensors': shard('a', 'b') }));
    expect([...checkpoint.tensors.keys()]).toEqual(['a', 'b']);
    expect(checkpoint.info('a')).toEqual({ dtype: 'F32', shape: [2], byteLength: 8 });
    expect(checkpoint.info('c')).toBeUndefined();
    expect(checkpoint.info('__proto__')).toBeUndefined();
    expect(await checkpoint.read('b', 4, 8)).toEqual(new Uint8Array(new Float32Array([2]).buffer));
    expect(await checkpoint.read('b', 3, 3)).toHaveLength(0);
  });

  test('reads shards, also in a folder below', async () => {
    const checkpoint = await openCheckpoint(memoryFolder('m', sharded));
    expect([...checkpoint.tensors.keys()]).toEqual(['a', 'b']);
    expect(checkpoint.tensors.get('b')?.file.source.name).toBe(`m/${B}`);
    const below = { [INDEX]: index({ a: 'weights/x.safetensors' }), 'weights/x.safetensors': shard('a') };
    expect((await openCheckpoint(memoryFolder('m', below))).info('a')?.shape).toEqual([2]);
  });

  test('prefers the single file', async () => {
    const checkpoint = await openCheckpoint(memoryFolder('m', { ...sharded, 'model.safetensors': shard('only') }));
    expect([...checkpoint.tensors.keys()]).toEqual(['only']);
  });

  test('reads many shards', async () => {
    const names = Array.from({ length: 30 }, (_, i) => `s${i}`);
    const files = Object.fromEntries(names.map((name) => [`${name}.safetensors`, shard(name)]));
    const map = Object.fromEntries(names.map((name) => [name, `${name}.safetensors`]));
    const checkpoint = await openCheckpoint(memoryFolder('m', { ...files, [INDEX]: index(map) }));
    expect(checkpoint.tensors.size).toBe(30);
  });

  test.each<[string, Record<string, string | Uint8Array>, RegExp]>([
    ['a folder without weights', { 'pytorch_model.bin': 'x' }, /neither model\.safetensors nor/],
    ['a missing shard', { [INDEX]: sharded[INDEX], [A]: shard('a') }, new RegExp(`shard ${B} is missing`)],
    [
      'a tensor that its shard lacks',
      { ...sharded, [B]: shard('c') },
      new RegExp(`tensor b is in ${B}, but it is not`),
    ],
    ['a tensor in another shard', { ...sharded, [A]: shard('a', 'b'), [B]: shard('c') }, /tensor b is in/],
    ['a tensor in two shards', { ...sharded, [B]: shard('a', 'b') }, new RegExp(`tensor a is in both ${A} and ${B}`)],
    ['a name with ../', { ...sharded, [INDEX]: index({ a: '../secret.safetensors' }) }, /"\.\.\/secret\.safetensors"/],
    ['../ inside a name', { ...sharded, [INDEX]: index({ a: 'x/../../y.safetensors' }) }, /inside the model folder/],
    ['an absolute name', { ...sharded, [INDEX]: index({ a: '/etc/x.safetensors' }) }, /inside the model folder/],
    ['a drive', { ...sharded, [INDEX]: index({ a: 'C:\\x.safetensors' }) }, /inside the model folder/],
    ['an address', { ...sharded, [INDEX]: index({ a: 'https://x.y/z.safetensors' }) }, /inside the model folder/],
    ['an empty part', { ...sharded, [INDEX]: index({ a: 'x//z.safetensors' }) }, /inside the model folder/],
    ['another kind of file', { ...sharded, [INDEX]: index({ a: 'model.bin' }) }, /\.safetensors files/],
    ['a file that is no text', { ...sharded, [INDEX]: index({ a: 3 }) }, /tensor a has no file name/],
    ['no weight_map', { ...sharded, [INDEX]: '{"metadata":{}}' }, /no weight_map/],
    ['a list for a weight_map', { ...sharded, [INDEX]: '{"weight_map":[]}' }, /no weight_map/],
    ['a duplicate key', { ...sharded, [INDEX]: `{"weight_map":{"a":"${A}","a":"${B}"}}` }, /"a" stands twice/],
    ['bad JSON', { ...sharded, [INDEX]: '<html>' }, /not JSON/],
    ['bad UTF-8', { ...sharded, [INDEX]: new Uint8Array([0xff, 0xfe]) }, /not UTF-8/],
    [
      'a shard that is an LFS pointer',
      { ...sharded, [B]: 'version https://git-lfs.github.com/spec/v1\n' },
      /LFS pointer/,
    ],
  ])('refuses %s', async (_, files, message) => {
    expect(await refusal(files)).toMatch(message);
  });

  test('refuses more than 10,000 shards, by count and by size', async () => {
    const map = (count: number) =>
      index(Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, `s${i}.safetensors`])));
    expect(await refusal({ [INDEX]: map(10_001) })).toMatch(/more than 10000 files/);
    expect(await refusal({ [INDEX]: map(10_000) })).toMatch(/shard s\d+\.safetensors is missing/);
    // A million entries have more bytes than any index may: they are not even parsed.
    expect(await refusal({ [INDEX]: new Uint8Array(25_000_001) })).toMatch(/at most 25000000/);
  });

  test('arbitrary indexes fail only with SafetensorsError', async () => {
    const anyIndex = fc.oneof(
      fc.json(),
      fc.dictionary(fc.string(), fc.oneof(fc.constantFrom(A, B, '..'), fc.string(), fc.integer())).map(index),
    );
    await fc.assert(
      fc.asyncProperty(anyIndex, async (json) => {
        try {
          await openCheckpoint(memoryFolder('m', { ...sharded, [INDEX]: json }));
        } catch (error) {
          expect(error).toBeInstanceOf(SafetensorsError);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('Checkpoint', () => {
  const header = {
    q: { dtype: 'U8', shape: [4], data_offsets: [0, 4] },
    h: { dtype: 'BF16', shape: [2], data_offsets: [4, 8] },
  };
  const open = () => openCheckpoint(memoryFolder('m', { 'model.safetensors': rawSafetensors(header, 8) }));

  test('info names a dtype that weights cannot have', async () => {
    const checkpoint = await open();
    expect(checkpoint.info('h')).toEqual({ dtype: 'BF16', shape: [2], byteLength: 4 });
    expect(() => checkpoint.info('q')).toThrow(SafetensorsError);
    expect(() => checkpoint.info('q')).toThrow(/tensor q has the dtype U8.*F32, F16, BF16.*already quantized/s);
  });

  test('read stays inside the tensor', async () => {
    const checkpoint = await open();
    expect(await checkpoint.read('h', 0, 4)).toHaveLength(4);
    for (const [begin, end] of [
      [0, 5],
      [-1, 2],
      [3, 2],
      [0, 1.5],
      [0, Number.NaN],
    ] as const) {
      await expect(checkpoint.read('h', begin, end)).rejects.toThrow(RangeError);
    }
    await expect(checkpoint.read('x', 0, 1)).rejects.toThrow(/no tensor x/);
  });
});
