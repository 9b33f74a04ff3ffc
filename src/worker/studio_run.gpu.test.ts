/** The studio's session on a golden model: a device that is lost, a disk that is full, and curves that go on to the bit. */
import { afterAll, expect, test, vi } from 'vitest';
import { shareDevices } from '../engine/device/testing/shared_devices.ts';
import { parseRunConfig } from '../formats/run_config.ts';
import { MemoryDisk } from '../storage/memory_disk.ts';
import type { PageDisk } from '../storage/page_disk.ts';
import { FaultyDisk } from '../storage/testing/faulty_disk.ts';
import { createBrowserTemplateWorker } from './browser_template_worker.ts';
import { createBrowserTokenizerWorker } from './browser_tokenizer_worker.ts';
import type { DataSettings, StudioCommand, StudioEvent, TrainRequest } from './studio_protocol.ts';
import { StudioSession } from './studio_session.ts';
import { VolatileStore } from './volatile_store.ts';

vi.setConfig({ testTimeout: 180_000 });

const STEPS = 12;
const FOLDER = '/e2e/golden/llama-text';
/** Of three layers: one more than slots at the least. */
const DEEPER = '/e2e/golden/qwen2-selection';
const MODEL_FILES = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];

const fetched = async (folder: string, path: string): Promise<File> => {
  const response = await fetch(`${folder}/${path}`);
  return new File([await response.arrayBuffer()], path.split('/').at(-1)!);
};

async function settings(folder = FOLDER): Promise<{ request: TrainRequest; data: DataSettings }> {
  const json = await (await fetch(`${folder}/case.json`)).json();
  const { lora, quantization, training } = parseRunConfig({ ...json, initial_adapter: undefined });
  const changed = { ...training, max_steps: STEPS, save_steps: 2, lr_scheduler_type: 'cosine' as const };
  return {
    request: { name: 'kept', lora: { ...lora, lora_dropout: 0.1 }, quantization, training: changed },
    data: {
      ...changed,
      ...{ validation_share: 0.2, remove_duplicates: false, columns: null, system_prompt: null },
    },
  };
}

const devices = shareDevices();
afterAll(() => {
  vi.restoreAllMocks();
  for (const device of devices()) device.destroy();
});

class Studio {
  readonly events: StudioEvent[] = [];
  /** Told of each event as it comes. */
  onEvent: (event: StudioEvent) => void = () => {};
  readonly session: StudioSession;

  constructor(store = new VolatileStore('for a test')) {
    this.session = new StudioSession(
      (event) => {
        this.events.push(event);
        this.onEvent(event);
      },
      {
        requestGpu: async () => navigator.gpu,
        createTemplateWorker: createBrowserTemplateWorker,
        createTokenizerWorker: createBrowserTokenizerWorker,
        cores: 1,
        openStore: async () => store,
      },
    );
  }

  of<T extends StudioEvent['type']>(type: T): Extract<StudioEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<StudioEvent, { type: T }> => event.type === type);
  }

  async loaded(folder = FOLDER): Promise<this> {
    const files = await Promise.all(
      MODEL_FILES.map(async (path) => ({ path, file: await fetched(folder, `model/${path}`) })),
    );
    const { request, data } = await settings(folder);
    const { quantization } = request;
    const location = { kind: 'files', name: 'tiny', files } as const;
    const commands: StudioCommand[] = [
      { type: 'start', runId: 'start', hubUrl: 'https://hub.invalid' },
      { type: 'load-model', runId: 'load', location, quantization },
      {
        ...{ type: 'read-data', runId: 'read', validation: null, text: { by: 'paragraph', windowBytes: 2000 } },
        data: { kind: 'files', files: [await fetched(folder, 'data.jsonl')] },
      },
      { type: 'prepare-data', runId: 'prepare', settings: data },
    ];
    for (const command of commands) await this.session.handle(command);
    expect(this.of('failed')).toEqual([]);
    return this;
  }

  async train(change = (request: TrainRequest) => request, folder = FOLDER): Promise<void> {
    await this.session.handle({ type: 'train', runId: 'train', request: change((await settings(folder)).request) });
  }

  /** Of each step the loss that was told last. */
  get losses(): number[] {
    const losses: number[] = [];
    for (const event of this.events) {
      if (event.type === 'restored') losses.splice(event.step);
      if (event.type === 'step') losses[event.record.step - 1] = event.record.loss;
    }
    return losses;
  }

  get adapter(): Uint8Array {
    return this.of('finished')
      .at(-1)!
      .files.find(({ path }) => path.endsWith('.safetensors'))!.bytes;
  }
}

let whole: Promise<{ losses: number[]; adapter: Uint8Array }> | null = null;
function expected() {
  whole ??= (async () => {
    const studio = await new Studio().loaded();
    await studio.train();
    expect(studio.of('failed')).toEqual([]);
    expect(studio.losses).toHaveLength(STEPS);
    return { losses: studio.losses, adapter: studio.adapter };
  })();
  return whole;
}

test('a device that is lost in a step: a new one, the checkpoint, and the same curve to the bit', async () => {
  const { losses, adapter } = await expected();
  const studio = await new Studio().loaded();
  studio.onEvent = (event) => {
    if (event.type === 'step' && event.record.step === 7 && studio.of('device-lost').length === 0) {
      devices().at(-1)!.destroy();
    }
  };
  await studio.train();
  expect(studio.of('failed')).toEqual([]);
  expect(studio.of('device-lost')).toHaveLength(1);
  const [restored] = studio.of('restored');
  expect(restored.step).toBeGreaterThan(0);
  expect(studio.losses).toEqual(losses);
  expect(studio.adapter).toEqual(adapter);
});

test('a second loss stops with advice; the run is kept, and ends the same when it is resumed', async () => {
  const { losses, adapter } = await expected();
  const store = new VolatileStore('for a test');
  const studio = await new Studio(store).loaded();
  const lost = new Set<number>();
  studio.onEvent = (event) => {
    if (event.type !== 'step' || !(event.record.step === 5 || event.record.step === 9)) return;
    if (lost.has(event.record.step)) return;
    lost.add(event.record.step);
    devices().at(-1)!.destroy();
  };
  await studio.train();
  expect(studio.of('failed')).toMatchObject([{ name: 'DeviceLostError', message: /lost again .*resume it from Runs/ }]);
  const [run] = await store.runs();
  expect(run).toMatchObject({ state: 'failed', totalSteps: STEPS });
  await studio.session.handle({ type: 'resume-run', runId: 'again', id: run.id });
  expect(studio.of('failed')).toHaveLength(1);
  expect(studio.losses).toEqual(losses);
  expect(studio.adapter).toEqual(adapter);
  expect(await store.run(run.id)).toMatchObject({ state: 'finished', checkpointStep: STEPS });
});

test('a full disk pauses the run with the checkpoint before intact; with room again it ends the same', async () => {
  const { losses, adapter } = await expected();
  class FullStore extends VolatileStore {
    full = false;
    override async openDisk(id: string): Promise<PageDisk> {
      const disk = await super.openDisk(id);
      const refusing = new FaultyDisk(new MemoryDisk(), 'full', 0, Math.random);
      const store = this;
      return new Proxy(disk, {
        get(target, name: keyof PageDisk) {
          const from: PageDisk = store.full && (name === 'write' || name === 'putRecords') ? refusing : target;
          const method: unknown = from[name];
          return typeof method === 'function' ? method.bind(from) : method;
        },
      });
    }
  }
  const store = new FullStore('for a test');
  const studio = await new Studio(store).loaded();
  studio.onEvent = (event) => {
    if (event.type === 'saved' && event.step === 4) store.full = true;
    if (event.type !== 'paused') return;
    store.full = false;
    // A moment later, as a user would.
    setTimeout(() => void studio.session.handle({ type: 'resume', runId: 'train' }), 200);
  };
  await studio.train();
  expect(studio.of('save-failed').length).toBeGreaterThan(0);
  expect(studio.of('save-failed')[0]).toMatchObject({ name: 'StorageFullError' });
  expect(studio.of('failed')).toEqual([]);
  expect(studio.losses).toEqual(losses);
  expect(studio.adapter).toEqual(adapter);
  // What was told to be safe before is what the list says.
  expect((await store.runs())[0]).toMatchObject({ state: 'finished', checkpointStep: STEPS });
});

test.runIf(import.meta.env.NIBBLE_FULL)(
  'layers streamed and moments paged as the form says: less memory, and the same curve to the bit',
  async () => {
    // Of several pages of moments.
    const wide = ({ lora, training, ...rest }: TrainRequest): TrainRequest => ({
      ...rest,
      training: { ...training, max_steps: 3 },
      lora: {
        ...{ ...lora, r: 64, target_modules: 'all-linear', layers_to_transform: null, layers_pattern: null },
        ...{ exclude_modules: null, rank_pattern: {}, alpha_pattern: {} },
      },
    });
    const control = await new Studio().loaded(DEEPER);
    await control.train(wide, DEEPER);
    expect(control.of('failed')).toEqual([]);
    expect(control.of('model-ready').map(({ layers }) => layers)).toEqual([{ count: 3, of: 3 }]);
    const [resident] = control.of('memory');
    const [loaded] = control.of('model-ready');

    const studio = await new Studio().loaded(DEEPER);
    const budgeted = ({ quantization, training, ...rest }: TrainRequest): TrainRequest => ({
      ...rest,
      quantization: { ...quantization, weight_memory_budget: loaded.memory.weights - 1 },
      training: {
        ...training,
        optim: 'paged_adamw_32bit',
        optimizer_memory_budget: 2 ** 18,
        optimizer_page_size: 2 ** 17,
      },
    });
    const { request } = await settings(DEEPER);
    const { quantization, lora, training } = budgeted(wide(request));
    await studio.session.handle({ type: 'predict', runId: 'predict', of: 'loaded', quantization, lora, training });
    await studio.train((own) => budgeted(wide(own)), DEEPER);
    expect(studio.of('failed')).toEqual([]);
    // Loaded again, with a layer less on the GPU.
    expect(studio.of('model-ready').map(({ layers }) => layers.count)).toEqual([3, 2]);
    const [memory] = studio.of('memory');
    expect(memory.bytes.weights).toBeLessThan(resident.bytes.weights);
    expect(memory.bytes.optimizer).toBeLessThanOrEqual(2 ** 18);
    expect(memory.bytes.optimizer).toBeLessThan(resident.bytes.optimizer);
    // As it was predicted.
    const [predicted] = studio.of('prediction');
    expect(predicted.bytes.weights).toBe(memory.bytes.weights);
    expect(predicted.bytes.optimizer).toBe(memory.bytes.optimizer);
    expect(predicted.hostBytes).toBeGreaterThan(0);
    expect(predicted.remedy).toBeNull();
    expect(studio.losses).toEqual(control.losses);
    expect(studio.adapter).toEqual(control.adapter);
  },
);

test('a run whose checkpoints the disk has no room for is refused before anything is written; with room it is not', async () => {
  class TightStore extends VolatileStore {
    left = 2e5;
    override async estimate() {
      return { usedBytes: 1e9 as never, quotaBytes: (1e9 + this.left) as never, persisted: false };
    }
  }
  const store = new TightStore('for a test');
  const studio = await new Studio(store).loaded();
  const short = (request: TrainRequest) => ({ ...request, training: { ...request.training, max_steps: 1 } });
  await studio.train(short);
  expect(studio.of('failed')).toMatchObject([{ name: 'StorageFullError', message: /its checkpoints above all/ }]);
  expect(await store.runs()).toEqual([]);
  store.left = 1e8;
  await studio.train(short);
  expect(studio.of('failed')).toHaveLength(1);
  expect(await store.runs()).toHaveLength(1);
});
