/** Weights that went through a cache are the ones that went in, whatever they are held as and however many layers fit. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { acquireGpu, type Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import { randomWeights, tinySpec } from '../train/testing.ts';
import { layerSection, type WeightCache, WeightCacheError } from '../weight_cache.ts';
import type { WeightSource } from '../weight_source.ts';
import { StoredSlabs } from './slabs.ts';
import { quantizedSource } from './testing.ts';
import { ModelWeights } from './weights.ts';

vi.setConfig({ testTimeout: 60_000 });

class MapCache implements WeightCache {
  readonly sections = new Map<string, Uint8Array<ArrayBuffer>>();
  async read(section: string) {
    return this.sections.get(section)?.slice() ?? null;
  }
  async write(section: string, bytes: Uint8Array<ArrayBuffer>) {
    this.sections.set(section, bytes.slice());
  }

  async reader(): Promise<null> {
    return null;
  }
}

let gpu: Gpu;
beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
});
afterAll(() => gpu.dispose());

const spec = tinySpec({ layers: 4, tiedHead: false });

/** All that is on the GPU or streamed to it. */
async function contents(model: ModelWeights): Promise<number[][]> {
  const read: number[][] = [];
  for (const { shards } of [model.embedding, model.head]) {
    for (const { tensor } of shards) {
      read.push([...new Uint8Array(await readBuffer(gpu, tensor.buffer, 0, tensor.buffer.size))]);
    }
  }
  for await (const { packed, absmax, nestedAbsmax, nestedOffset } of model.quantized()) {
    read.push([...packed], [...absmax], [...(nestedAbsmax ?? [])], [nestedOffset ?? 0]);
  }
  return read;
}

const used = async <T>(model: ModelWeights, use: (model: ModelWeights) => Promise<T>) => {
  const result = await use(model);
  model.dispose();
  expect(gpu.ledger.leaks()).toEqual([]);
  return result;
};

/** Counts the bytes that were asked for. */
function counted(source: WeightSource): WeightSource & { bytes: number } {
  return {
    bytes: 0,
    info: (name) => source.info(name),
    read(name, begin, end) {
      this.bytes += end - begin;
      return source.read(name, begin, end);
    },
  };
}

test.each([
  ['tables as they were', {}],
  ['tables in 8 bits', { tablesInBytes: true }],
])('%s', async (_, options) => {
  const cache = new MapCache();
  const source = counted(randomWeights(spec, 3));
  const plain = await used(await ModelWeights.load(gpu, spec, source, { doubleQuant: true, ...options }), contents);
  const all = source.bytes;
  const load = () => ModelWeights.load(gpu, spec, source, { doubleQuant: true, cache, ...options });
  const { dtype, slabBytes, ...first } = await used(await load(), async (model) => ({
    ...{ dtype: model.embedding.dtype, slabBytes: model.layouts[0].words * 4, contents: await contents(model) },
  }));
  expect(first.contents).toEqual(plain);
  // A load that was cut off after a layer: what is there is not read again.
  cache.sections.delete('layer/2');
  cache.sections.delete('layer/3');
  source.bytes = 0;
  expect(await used(await load(), contents)).toEqual(plain);
  expect(source.bytes).toBeLessThan(0.8 * all);
  const kept = { quantType: 'nf4' as const, doubleQuant: true, tableDtype: dtype };
  expect(await used(await ModelWeights.fromCache(gpu, spec, cache, kept), contents)).toEqual(plain);
  // Two layers of four fit: the others pass through.
  const total = await used(ModelWeights.blank(gpu, spec, { doubleQuant: true }, dtype), async () => gpu.ledger.total());
  const budget = total - 2 * slabBytes;
  const streamed = await ModelWeights.fromCache(gpu, spec, cache, { ...kept, budget });
  expect(streamed.slots.count).toBe(2);
  expect(await used(streamed, contents)).toEqual(plain);
  cache.sections.delete('layer/1');
  await expect(ModelWeights.fromCache(gpu, spec, cache, kept)).rejects.toThrow(WeightCacheError);
  expect(gpu.ledger.leaks()).toEqual([]);
});

test('linears that are not in 4 bits go through it as they are', async () => {
  const paths = ['model.layers.0.mlp.down_proj', 'model.layers.2.self_attn.q_proj', 'model.layers.2.mlp.up_proj'];
  const { source } = await quantizedSource(gpu, spec, paths);
  const cache = new MapCache();
  const load = (budget?: number) => ModelWeights.load(gpu, spec, source, { doubleQuant: false, cache, budget });
  const { layouts, formats, total } = await used(await load(), async (model) => ({
    ...{ layouts: model.layouts, formats: model.formats, total: gpu.ledger.total() },
  }));
  expect(formats).toEqual({ doubleQuant: true, floats: { dtype: 'BF16', paths } });
  const slabs = new StoredSlabs(spec, layouts, source, { quantType: 'nf4', doubleQuant: true });
  const same = async () => {
    for (const i of spec.layers.keys()) expect(cache.sections.get(layerSection(i))).toEqual(await slabs.read(i));
  };
  await same();
  const kept = { quantType: 'nf4' as const, ...formats, tableDtype: 'F32' as const };
  await used(await ModelWeights.fromCache(gpu, spec, cache, kept), async () => expect(gpu.ledger.total()).toBe(total));
  // Layers of other sizes before them leave nothing in a slot that would be kept with them.
  cache.sections.clear();
  await used(await load(total - 4 * layouts[3].words), async (model) => expect(model.slots.count).toBeLessThan(4));
  const withoutGaps = (bytes: Uint8Array, layer: number) =>
    [...layouts[layer].linears.values()].map(({ codesAt, codesWords }) =>
      bytes.slice(codesAt * 4, (codesAt + codesWords) * 4).join(),
    );
  for (const i of spec.layers.keys()) {
    const section = cache.sections.get(layerSection(i))!;
    expect(withoutGaps(section, i)).toEqual(withoutGaps(await slabs.read(i), i));
  }
  await expect(
    ModelWeights.fromCache(gpu, spec, cache, { ...kept, floats: null }),
    'a cache of another layout',
  ).rejects.toThrow(WeightCacheError);
  expect(gpu.ledger.leaks()).toEqual([]);
});
