/** A model whose linears are partly in 16 bits: what is said of it before it is read, what it takes, and what a cache gives back. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { acquireGpu, type Gpu } from '../engine/device/gpu.ts';
import { predictMemory } from '../engine/train/predict_memory.ts';
import { parseRunConfig, type QuantizationConfig } from '../formats/run_config.ts';
import { QuantizationMismatchError } from '../formats/stored_linears.ts';
import { OPEN_GATE } from '../hub/gate.ts';
import type { CachedModel } from '../storage/model_manifest.ts';
import { inspectModel, type LoadedModel, loadModel, type ModelPorts } from './studio_model.ts';
import { heldAs } from './studio_prediction.ts';
import type { ModelLocation } from './studio_protocol.ts';
import { NoLevelsError, weightFigures } from './studio_weights.ts';
import { VolatileStore } from './volatile_store.ts';

vi.setConfig({ testTimeout: 60_000 });

const MODEL_FILES = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];

/** Keeps models too, as long as it lives. */
class KeepingStore extends VolatileStore {
  override readonly volatile = null as never;
  readonly #models = new Map<string, CachedModel>();
  override models = async () => [...this.#models.values()] as never[];
  override putModel = async (model?: CachedModel) => {
    if (model) this.#models.set(model.key, model);
  };
}

let gpu: Gpu;
beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
});
afterAll(() => gpu.dispose());

const ports = (store = new VolatileStore('for a test')): ModelPorts => ({
  ...{ runId: 'load', emit() {}, hubUrl: 'https://hub.invalid', token: () => null, gate: OPEN_GATE },
  ...{ signal: new AbortController().signal, store, makeRoom: async () => {} },
});

async function golden(
  name: string,
  change: (config: Record<string, unknown>) => object = (config) => config,
): Promise<{ location: Extract<ModelLocation, { kind: 'files' }>; quantization: QuantizationConfig }> {
  const fetched = async (path: string) => (await fetch(`/e2e/golden/${name}/${path}`)).arrayBuffer();
  const files = await Promise.all(
    MODEL_FILES.map(async (path) => {
      const bytes = await fetched(`model/${path}`);
      const changed = path === 'config.json' && JSON.stringify(change(JSON.parse(new TextDecoder().decode(bytes))));
      return { path, file: new File([changed || bytes], path, { lastModified: 1 }) };
    }),
  );
  const { quantization } = parseRunConfig(JSON.parse(new TextDecoder().decode(await fetched('case.json'))));
  return { location: { kind: 'files', name: 'golden', files }, quantization };
}

/** Disposed of when `use` is done. */
async function loaded<T>(loading: Promise<LoadedModel>, use: (model: LoadedModel) => T | Promise<T>): Promise<T> {
  const model = await loading;
  try {
    return await use(model);
  } finally {
    model.weights.dispose();
    expect(gpu.ledger.leaks()).toEqual([]);
  }
}

test.each(['llama-bnb-mixed', 'qwen2-bnb-mixed', 'llama-bnb-nf4'])(
  '%s: config.json says to the byte what the headers and a cache then do',
  async (name) => {
    const { location, quantization } = await golden(name);
    // Settings change nothing of what is in 4 bits already.
    for (const bnb_4bit_use_double_quant of [true, false]) {
      const inspected = heldAs(await inspectModel(location, ports()), { ...quantization, bnb_4bit_use_double_quant });
      const predicted = predictMemory(gpu.capabilities, inspected, null).bytes;
      const store = new KeepingStore('');
      const load = () => loadModel(gpu, location, { ...quantization, bnb_4bit_use_double_quant }, ports(store));
      const first = await loaded(load(), ({ memory, key, notKept }) => {
        expect(notKept).toBeNull();
        expect(gpu.ledger.byCategory()).toEqual(predicted);
        expect({ ...memory, floats: memory.floats ?? { dtype: memory.tableDtype, paths: [] } }).toEqual(inspected);
        return { memory, key };
      });
      const again = await loaded(load(), ({ memory, weights }) => {
        expect(gpu.ledger.byCategory()).toEqual(predicted);
        return { memory, formats: weights.formats };
      });
      expect(again.memory).toEqual(first.memory);
      const cached = await inspectModel({ kind: 'cached', key: first.key, name: 'golden' }, ports(store));
      expect(heldAs(cached, quantization)).toEqual(first.memory);
    }
  },
);

test('a linear in 16 bits has no levels, and says so', async () => {
  const { location, quantization } = await golden('llama-bnb-mixed');
  await loaded(loadModel(gpu, location, quantization, ports()), async (model) => {
    await expect(weightFigures(model, location, 0, 'mlp.down_proj')).rejects.toThrow(NoLevelsError);
    await expect(weightFigures(model, location, 0, 'mlp.down_proj')).rejects.toThrow(/in BF16. Pick another/);
    expect((await weightFigures(model, location, 1, 'mlp.down_proj')).uses).toHaveLength(16);
  });
});

test('files and a config.json that say different things are refused', async () => {
  const unsaid = ({ quantization_config: _, ...rest }: Record<string, unknown>) => rest;
  const { location, quantization } = await golden('llama-bnb-mixed', unsaid);
  await expect(loadModel(gpu, location, quantization, ports())).rejects.toThrow(QuantizationMismatchError);
  const quantization_config = { load_in_4bit: true, llm_int8_skip_modules: ['down_proj'] };
  const other = await golden('llama-text', (config) => ({ ...config, quantization_config }));
  await expect(loadModel(gpu, other.location, quantization, ports())).rejects.toThrow(QuantizationMismatchError);
  expect(gpu.ledger.leaks()).toEqual([]);
});
