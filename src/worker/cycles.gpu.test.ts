/** A month of runs (FAULTS 38): what fifty of them made is gone when they are over. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { acquireGpu, type Gpu } from '../engine/device/gpu.ts';
import { ModelWeights } from '../engine/model/weights.ts';
import { KEEP_ALL } from '../engine/train/kept_layers.ts';
import { RESIDENT } from '../engine/train/paging/moments.ts';
import { randomBatch, randomWeights, tinySpec } from '../engine/train/testing.ts';
import { Trainer } from '../engine/train/trainer.ts';
import { adaptedLinears } from '../formats/lora.ts';
import { parseRunConfig } from '../formats/run_config.ts';
import { createBrowserTemplateWorker } from './browser_template_worker.ts';
import { createBrowserTokenizerWorker } from './browser_tokenizer_worker.ts';
import type { StudioCommand, StudioEvent } from './studio_protocol.ts';
import { StudioSession } from './studio_session.ts';
import { VolatileStore } from './volatile_store.ts';

vi.setConfig({ testTimeout: 180_000 });

const CYCLES = 50;
/** With its checkpoints, its data and its record one takes SwiftShader most of a second. */
const RUNS = import.meta.env.NIBBLE_FULL ? 50 : 4;

/** What a device was asked for and did not get back: by its own methods, whoever called them. */
class Handles {
  readonly buffers = new Set<GPUBuffer>();
  readonly querySets = new Set<GPUQuerySet>();
  listeners = 0;

  constructor(device: GPUDevice) {
    const [buffer, querySet] = [device.createBuffer.bind(device), device.createQuerySet.bind(device)];
    const [listen, leave] = [device.addEventListener.bind(device), device.removeEventListener.bind(device)];
    device.createBuffer = (descriptor) => watched(buffer(descriptor), this.buffers);
    device.createQuerySet = (descriptor) => watched(querySet(descriptor), this.querySets);
    device.addEventListener = (...args: Parameters<typeof listen>) => {
      this.listeners++;
      listen(...args);
    };
    device.removeEventListener = (...args: Parameters<typeof leave>) => {
      this.listeners--;
      leave(...args);
    };
  }

  get counts() {
    const bytes = [...this.buffers].reduce((sum, { size }) => sum + size, 0);
    return { buffers: this.buffers.size, bytes, querySets: this.querySets.size, listeners: this.listeners };
  }
}

function watched<T extends GPUBuffer | GPUQuerySet>(made: T, live: Set<T>): T {
  live.add(made);
  const destroy = made.destroy.bind(made);
  made.destroy = () => {
    live.delete(made);
    return destroy() as undefined;
  };
  return made;
}

const NOTHING = { buffers: 0, bytes: 0, querySets: 0, listeners: 0 };

let gpu: Gpu;
let handles: Handles;
beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
  handles = new Handles(gpu.device);
});
afterAll(() => gpu.dispose());

async function trainOnce(): Promise<{ trainer: Trainer; model: ModelWeights }> {
  const spec = tinySpec({ layers: 1 });
  const model = await ModelWeights.load(gpu, spec, randomWeights(spec, 1), { doubleQuant: true });
  const lora = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: 'all-linear' };
  const trainer = await Trainer.create(gpu, {
    ...{ model, adapter: null, seed: 3, init: true, tune: null, moments: RESIDENT },
    ...{ capacity: 64, positions: 64, keepLayers: KEEP_ALL, precision: 'f32' },
    lora: { adapters: adaptedLinears(spec, lora), dora: false, dropout: 0 },
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1, loraPlusRatio: 1 },
  });
  const batch = randomBatch([9, 5], spec.vocabSize, 6);
  await trainer.step([batch], 1e-3);
  await trainer.evaluate([batch]);
  expect(await trainer.readLog()).toHaveLength(1);
  return { trainer, model };
}

test('trainers that were disposed of leave nothing on the device; control: one that was not', async () => {
  const { trainer: kept, model: held } = await trainOnce();
  const one = handles.counts;
  expect(one.buffers).toBeGreaterThan(10);
  expect(gpu.ledger.total()).toBeGreaterThan(0);
  kept.dispose();
  held.dispose();
  expect(handles.counts).toEqual(NOTHING);
  for (let i = 0; i < CYCLES; i++) {
    const { trainer, model } = await trainOnce();
    expect(handles.counts).toEqual(one);
    trainer.dispose();
    model.dispose();
    expect(gpu.ledger.leaks()).toEqual([]);
  }
  expect(handles.counts).toEqual(NOTHING);
  expect(gpu.ledger.total()).toBe(0);
  gpu.check();
});

const CASE = '/e2e/golden/llama-text';
const MODEL_FILES = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];

async function file(path: string): Promise<File> {
  const response = await fetch(`${CASE}/${path}`);
  return new File([await response.arrayBuffer()], path.split('/').at(-1)!);
}

test('runs of one page leave the model and no more: no buffer, no listener, no worker', async () => {
  let ofSession: Handles | null = null;
  const request = GPUAdapter.prototype.requestDevice;
  let devices = 0;
  vi.spyOn(GPUAdapter.prototype, 'requestDevice').mockImplementation(async function (this: GPUAdapter, descriptor) {
    const device = await request.call(this, descriptor);
    devices++;
    ofSession = new Handles(device);
    return device;
  });
  const workers = { made: 0, ended: 0 };
  const counted = <T extends { terminate(): unknown }>(worker: T): T => {
    workers.made++;
    const terminate = worker.terminate.bind(worker);
    worker.terminate = () => {
      workers.ended++;
      return terminate();
    };
    return worker;
  };
  const events: StudioEvent[] = [];
  let whileTraining = 0;
  const store = new VolatileStore('for a test');
  const onEvent = (event: StudioEvent) => {
    events.push(event);
    if (event.type === 'step') whileTraining = now().buffers;
  };
  const session = new StudioSession(onEvent, {
    requestGpu: async () => navigator.gpu,
    createTemplateWorker: (...args) => counted(createBrowserTemplateWorker(...args)),
    createTokenizerWorker: (...args) => counted(createBrowserTokenizerWorker(...args)),
    cores: 1,
    openStore: async () => store,
  });
  const json = await (await fetch(`${CASE}/case.json`)).json();
  const { lora, quantization, training } = parseRunConfig({ ...json, initial_adapter: undefined });
  const short = { ...training, max_steps: 1, save_steps: 1 };
  const files = await Promise.all(MODEL_FILES.map(async (path) => ({ path, file: await file(`model/${path}`) })));
  const data = { ...short, validation_share: 0.2, remove_duplicates: false, columns: null, system_prompt: null };
  const commands: StudioCommand[] = [
    { type: 'start', runId: 'start', hubUrl: 'https://hub.invalid' },
    { type: 'load-model', runId: 'load', location: { kind: 'files', name: 'tiny', files }, quantization },
    {
      ...{ type: 'read-data', runId: 'read', validation: null, text: { by: 'paragraph', windowBytes: 2000 } },
      data: { kind: 'files', files: [await file('data.jsonl')] },
    },
    { type: 'prepare-data', runId: 'prepare', settings: data },
  ];
  for (const command of commands) await session.handle(command);
  const now = () => ({ ...ofSession!.counts, workers: workers.made - workers.ended, devices });
  const loaded = now();
  for (let i = 0; i < RUNS; i++) {
    const name = `run ${i}`;
    await session.handle({ type: 'train', runId: name, request: { name, lora, quantization, training: short } });
    const [{ id }] = await store.runs();
    await session.handle({ type: 'delete-run', runId: `delete ${i}`, id });
    expect(now(), name).toEqual(loaded);
    // The control: what a run makes would be seen.
    expect(whileTraining).toBeGreaterThan(loaded.buffers + 10);
  }
  expect(events.filter(({ type }) => type === 'failed')).toEqual([]);
  expect(events.filter(({ type }) => type === 'finished')).toHaveLength(RUNS);
  expect(await store.runs()).toEqual([]);
});
