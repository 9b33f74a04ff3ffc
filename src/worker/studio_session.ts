/** What the studio's worker holds, and what each command does to it. Never rejects: every failure is an event. */
import { unzipSync } from 'fflate';
import type { OpenChat } from '../data/chat_renderer.ts';
import { readRowSet } from '../data/files/row_set.ts';
import { acquireGpu, type Gpu } from '../engine/device/gpu.ts';
import type { ModelMemory } from '../engine/train/predict_memory.ts';
import { checkAdapter, continuedLora, type PeftAdapter, readPeftAdapter } from '../formats/peft.ts';
import type { RangeSource } from '../formats/range_source.ts';
import type { QuantizationConfig } from '../formats/run_config.ts';
import { blobSource, droppedFolder } from '../hub/dropped_folder.ts';
import { PauseGate } from '../hub/gate.ts';
import { HUB_URL } from '../hub/hosts.ts';
import { searchModels } from '../hub/search.ts';
import { containedChat } from './contained_chat.ts';
import { evaluateQuestions } from './evaluate.ts';
import { Intermission } from './intermission.ts';
import { createOpfsScratch } from './opfs_scratch.ts';
import type { WorkerPorts } from './ports.ts';
import { makeRoom, predictedDisk } from './room.ts';
import type { RunDetails, StudioStoredRun } from './run_details.ts';
import { storageFacts } from './storage_facts.ts';
import { type LoadedData, prepareData, showRow } from './studio_data.ts';
import { type AdapterSource, generateInStudio, TextModel, type TunedAdapter } from './studio_generate.ts';
import { downloadDataset } from './studio_hub_data.ts';
import {
  type InspectedModel,
  inspectedKey,
  inspectModel,
  type LoadedModel,
  loadModel,
  ModelNotCachedError,
  type ModelPorts,
} from './studio_model.ts';
import { cachedModelBytes, heldAs, memoryRemedy, predictStudioRun } from './studio_prediction.ts';
import type {
  DataLocation,
  ModelLocation,
  StudioCommand,
  StudioEvent,
  TrainRequest,
  TryAdapter,
} from './studio_protocol.ts';
import { droppedSources, type ReadData, rawRows, readData } from './studio_read.ts';
import { type RunHost, resumeRun, startRun } from './studio_run.ts';
import type { StudioStore } from './studio_storage.ts';
import type { RunStage } from './studio_train.ts';
import { weightFigures } from './studio_weights.ts';
import { poolWidth, TokenizerPool } from './tokenizer_pool.ts';
import type { CreateTokenizerWorker } from './tokenizer_protocol.ts';
import { RunFailure } from './train_run.ts';
import { ownBuffers } from './trainer_options.ts';
import { restoreChoices } from './tuning_store.ts';

/** A command that needs what is not there, or comes while something else has the GPU. */
export class StudioOrderError extends Error {
  override name = 'StudioOrderError';
}

/** A zip that is something else. */
class NoAdapterError extends Error {
  override name = 'NoAdapterError';
}

class CancelledError extends Error {
  override name = 'CancelledError';
}

type RunCommand = Extract<StudioCommand, { runId: string }>;

interface Work {
  readonly gate: PauseGate;
  readonly controller: AbortController;
  /** Resolves when nothing of it goes on and what it had for itself is free. */
  readonly ended: Promise<void>;
  /** A checkpoint is asked for. */
  save: boolean;
}

/** Bytes of an adapter's zip. */
const ZIP_CAP = 4 * 2 ** 30;

/** What the session needs from where it runs. */
export interface StudioPorts extends Pick<WorkerPorts, 'requestGpu' | 'createTemplateWorker'> {
  readonly createTokenizerWorker: CreateTokenizerWorker;
  /** How many processors there are. */
  readonly cores: number;
  openStore(): Promise<StudioStore>;
}

export class StudioSession {
  readonly #emit: (event: StudioEvent) => void;
  readonly #requestGpu: StudioPorts['requestGpu'];
  readonly #openStore: StudioPorts['openStore'];
  /** Where chat templates are rendered. */
  readonly #openChat: OpenChat;
  readonly #createTokenizerWorker: CreateTokenizerWorker;
  readonly #cores: number;
  readonly #work = new Map<string, Work>();
  #gpu: Gpu | null = null;
  #hubUrl = HUB_URL;
  #token: string | null = null;
  #inspected: InspectedModel | null = null;
  #model: LoadedModel | null = null;
  /** Where the model came from. */
  #origin: ModelLocation | null = null;
  #store: Promise<StudioStore> | null = null;
  /** Cuts large datasets into the loaded model's tokens. */
  #pool: TokenizerPool | null = null;
  #read: ReadData | null = null;
  #data: LoadedData | null = null;
  /** The key of the model whose tokens the data has. */
  #dataModel: string | null = null;
  #adapter: PeftAdapter | null = null;
  /** The run that has the GPU's memory: a model being loaded, a training, texts being generated. */
  #exclusive: string | null = null;
  /** What the last run trained, over the model that is loaded. */
  #tuned: TunedAdapter | null = null;
  /** The opened adapter, made ready. */
  #opened: { readonly of: PeftAdapter; readonly tuned: TunedAdapter } | null = null;
  /** Generation, between runs. */
  #text: TextModel | null = null;
  /** While a run trains. */
  #intermission: Intermission<RunStage> | null = null;

  constructor(emit: (event: StudioEvent) => void, ports: StudioPorts) {
    this.#emit = emit;
    this.#requestGpu = ports.requestGpu;
    this.#openStore = ports.openStore;
    this.#openChat = containedChat(ports.createTemplateWorker);
    this.#createTokenizerWorker = ports.createTokenizerWorker;
    this.#cores = ports.cores;
  }

  async handle(command: StudioCommand): Promise<void> {
    switch (command.type) {
      case 'token':
        this.#token = command.token;
        return;
      case 'clear-adapter':
        this.#adapter = null;
        return;
      case 'pause':
      case 'resume':
      case 'save':
      case 'stop':
        this.#steer(command);
        return;
      default:
        await this.#run(command);
    }
  }

  #steer({ type, runId }: Extract<StudioCommand, { type: 'pause' | 'resume' | 'save' | 'stop' }>): void {
    const work = this.#work.get(runId);
    if (!work) return;
    if (type === 'stop') {
      work.controller.abort(new CancelledError('Cancelled. Nothing of it was kept.'));
    } else if (type === 'save') {
      work.save = true;
    } else if (type === 'pause') {
      work.gate.pause();
      this.#emit({ type: 'paused', runId });
    } else {
      work.gate.resume();
      this.#emit({ type: 'resumed', runId });
    }
  }

  async #run(command: RunCommand): Promise<void> {
    const { runId } = command;
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const work: Work = { gate: new PauseGate(), controller: new AbortController(), ended, save: false };
    this.#work.set(runId, work);
    try {
      await this.#execute(command, work);
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      const files = error instanceof RunFailure ? error.files : undefined;
      this.#emit({ type: 'failed', runId, name, message, ...(files && { files }) });
    } finally {
      this.#work.delete(runId);
      if (this.#exclusive === runId) this.#exclusive = null;
      end();
    }
  }

  async #execute(command: RunCommand, work: Work): Promise<void> {
    const { gate } = work;
    const { signal } = work.controller;
    const { runId } = command;
    const emit = this.#emit;
    const store = await this.#storage();
    const ports: ModelPorts = {
      runId,
      emit,
      hubUrl: this.#hubUrl,
      token: () => this.#token,
      gate,
      signal,
      store,
      makeRoom: async (key, model, quantization, cachedBytes) => {
        const { capabilities } = await this.#device();
        const bytes = cachedModelBytes(capabilities, heldAs(model, quantization)) - cachedBytes;
        await makeRoom(store, bytes, new Set([key]), (models) => emit({ type: 'evicted', runId, models }));
      },
    };
    const host: Omit<RunHost, 'intermission'> = {
      ...{ runId, store, gate, signal, emit, openChat: this.#openChat },
      device: () => this.#device(),
      model: (details) => this.#modelFor(details, ports),
      saveAsked() {
        const asked = work.save;
        work.save = false;
        return asked;
      },
    };
    switch (command.type) {
      case 'start': {
        this.#hubUrl = command.hubUrl;
        const { name, features, subgroupSize } = (await this.#device()).capabilities;
        emit({ type: 'device', runId, adapter: { name, features, subgroupSize } });
        return;
      }
      case 'search': {
        const { hubUrl, token } = ports;
        const results = await searchModels({ query: command.query, hubUrl, token, signal });
        emit({ type: 'search-results', runId, results });
        return;
      }
      case 'inspect-model':
        this.#inspected = null;
        this.#inspected = await inspectModel(command.location, ports);
        emit({ type: 'model-info', runId, info: this.#inspected.info });
        return;
      case 'predict': {
        const model = await this.#predicted(command);
        if (!model) throw new StudioOrderError('There is no model to predict for.');
        const { memory, key } = model;
        const { capabilities } = await this.#device();
        const data = command.of === 'loaded' ? this.#data : null;
        const longest = data?.longest ?? null;
        const run = predictStudioRun(capabilities, memory, command, longest);
        const kept = { layers: run.keptLayers, of: memory.spec.layers.length };
        const disk = await predictedDisk(store, capabilities, { key, memory }, run, { ...command.training, data });
        const remedy = memoryRemedy(capabilities, memory, command, longest, run);
        const hostBytes = run.layersHostBytes + (run.moments?.hostBytes ?? 0);
        emit({ type: 'prediction', runId, bytes: run.bytes, kept, hostBytes, disk, remedy });
        return;
      }
      case 'load-model': {
        this.#claim(runId);
        const gpu = await this.#device();
        this.#dropModel();
        const model = await loadModel(gpu, command.location, command.quantization, ports);
        this.#model = model;
        this.#origin = command.location;
        this.#openPool(model);
        this.#tellReady(model, gpu, runId);
        return;
      }
      case 'read-data': {
        this.#read = null;
        this.#data = null;
        const [data, validation] = await Promise.all([
          this.#sources(command.data, ports),
          command.validation && this.#sources(command.validation, ports),
        ]);
        await readData(data, validation, command.text, { runId, emit, signal }, (read) => {
          this.#read = read;
        });
        return;
      }
      case 'raw-rows':
        emit({ type: 'raw-rows', runId, rows: await rawRows(this.#needRows(), command.from, command.count) });
        return;
      case 'show-row': {
        const { row, settings } = command;
        emit({
          type: 'row',
          runId,
          row: await showRow(this.#needModel(), this.#needRows().rows, row, settings, this.#openChat),
        });
        return;
      }
      case 'prepare-data':
        this.#data = null;
        this.#data = await prepareData(this.#needModel(), this.#needRows(), command.settings, this.#openChat, {
          runId,
          emit,
          signal,
          encoder: this.#pool ?? undefined,
        });
        this.#dataModel = this.#model?.key ?? null;
        return;
      case 'show-weights': {
        const figures = await weightFigures(this.#needModel(), this.#origin, command.layer, command.linear);
        emit({ type: 'weights', runId, figures });
        return;
      }
      case 'open-adapter': {
        const adapter = await openAdapter(command.files);
        this.#adapter = adapter;
        const lora = continuedLora(adapter);
        const modules = [...new Set(lora.target_modules.map((path) => path.slice(path.lastIndexOf('.') + 1)))];
        const { name, tensors } = adapter;
        emit({ type: 'adapter-ready', runId, name, lora, modules, tensors: tensors.size });
        return;
      }
      case 'train': {
        this.#claim(runId);
        const [model, data] = [this.#needModel(), this.#needData()];
        const adapter = this.#adapter;
        await this.#trained((intermission) =>
          startRun({ ...host, intermission }, this.#detailsOf(model, command.request), data, adapter),
        );
        return;
      }
      case 'generate':
        await this.#onStage(runId, command.adapter, ({ text, source }) =>
          generateInStudio(text, source, command, emit, signal),
        );
        return;
      case 'evaluate': {
        const sources = command.files.map((file) => blobSource(file.name, file));
        const createScratch = createOpfsScratch;
        const rows = await readRowSet(sources, { createScratch, signal, onProblem() {} });
        await this.#onStage(runId, command.adapter, async ({ text, source }) => {
          const onProgress = (done: number, total: number) => emit({ type: 'evaluate-progress', runId, done, total });
          const result = await evaluateQuestions(text, source, rows, command.limit, { signal, onProgress });
          emit({ type: 'evaluated', runId, result });
        });
        return;
      }
      case 'resume-run': {
        this.#claim(runId);
        const stored = await store.run(command.id);
        if (!stored)
          throw new StudioOrderError('This run is no longer there: it was deleted, or the browser evicted it.');
        await this.#trained((intermission) =>
          resumeRun({ ...host, intermission }, stored as StudioStoredRun, command.maxSteps),
        );
        return;
      }
      case 'list-storage':
        emit({ type: 'storage', runId, facts: await storageFacts(store) });
        return;
      case 'delete-run':
        await store.deleteRun(command.id);
        emit({ type: 'storage', runId, facts: await storageFacts(store) });
        return;
      case 'delete-model':
        await store.deleteModel(command.key);
        emit({ type: 'storage', runId, facts: await storageFacts(store) });
        return;
      case 'pause':
      case 'resume':
      case 'save':
      case 'stop':
        return;
      default:
        command satisfies never;
    }
  }

  /** A run, between whose steps texts can be asked for; what it trained can be tried when it has ended. */
  async #trained(run: (intermission: Intermission<RunStage>) => Promise<TunedAdapter>): Promise<void> {
    this.#dropText();
    const intermission = new Intermission<RunStage>();
    this.#intermission = intermission;
    try {
      this.#tuned = await run(intermission);
    } finally {
      intermission.close();
      this.#intermission = null;
    }
  }

  /** Runs `use` with the adapter that is asked for: between two steps of the run that trains, when it has ended, or now. */
  async #onStage(runId: string, adapter: TryAdapter, use: (stage: RunStage) => Promise<void>): Promise<void> {
    if (this.#intermission) {
      const training = this.#work.get(this.#exclusive ?? '');
      const served = await this.#intermission.ask(({ text, source }) =>
        use({ text, source: adapter === 'trained' ? source : this.#source(adapter) }),
      );
      if (served) return;
      await training?.ended;
    }
    this.#claim(runId);
    const model = this.#needModel();
    const gpu = await this.#device();
    this.#text ??= new TextModel(gpu, model, this.#openChat);
    try {
      await use({ text: this.#text, source: this.#source(adapter) });
    } catch (error) {
      // Whatever state it was left in.
      this.#dropText();
      throw error;
    }
  }

  #source(adapter: TryAdapter): AdapterSource {
    if (adapter === 'none') return null;
    if (adapter === 'trained') {
      if (!this.#tuned) throw new StudioOrderError('Nothing was trained over this model yet. Train it first.');
      return { tuned: this.#tuned };
    }
    const opened = this.#adapter;
    if (!opened) throw new StudioOrderError('No adapter is open. Open one in the Train step.');
    const known = this.#opened;
    if (known?.of === opened) return { tuned: known.tuned };
    const lora = continuedLora(opened);
    checkAdapter(opened, this.#needModel().spec, lora);
    const tuned = { lora, tensors: ownBuffers(opened.tensors) };
    this.#opened = { of: opened, tuned };
    return { tuned };
  }

  #dropText(): void {
    this.#text?.dispose();
    this.#text = null;
  }

  /** The device, asked for again after it was lost; the model went with it then. */
  async #device(): Promise<Gpu> {
    if (this.#gpu) return this.#gpu;
    const gpu = await acquireGpu(await this.#requestGpu());
    await restoreChoices(gpu);
    this.#gpu = gpu;
    void gpu.lost.then(() => {
      if (this.#gpu !== gpu) return;
      this.#gpu = null;
      this.#model = null;
      // Its buffers went with the device.
      this.#text = null;
    });
    return gpu;
  }

  #storage(): Promise<StudioStore> {
    this.#store ??= this.#openStore();
    return this.#store;
  }

  #detailsOf({ info, key }: LoadedModel, request: TrainRequest): RunDetails {
    const origin =
      this.#origin?.kind === 'hub' ? { ...this.#origin, revision: info.commit ?? this.#origin.revision } : null;
    return { request, model: info, modelKey: key, origin };
  }

  /** What is asked about, as a run with these settings would have it. */
  async #predicted({ of, quantization }: Extract<StudioCommand, { type: 'predict' }>): Promise<PredictedModel | null> {
    if (of === 'inspected') {
      const inspected = this.#inspected;
      return (
        inspected && {
          memory: heldAs(inspected, quantization),
          key: await inspectedKey(inspected, quantization),
        }
      );
    }
    const model = this.#model;
    const { weight_memory_budget: budget, weight_host_memory_budget: hostBudget } = quantization;
    if (!model) return null;
    // Where the device had no room for more, less is asked of it too.
    const asLoaded = sameBudget(model, quantization) ? model.memory.budget : budget;
    return { memory: { ...model.memory, budget: asLoaded, hostBudget }, key: model.key };
  }

  /**
   * The model that a run is of: the loaded one, else from the cache, else from where it came from. Loaded again where more or
   * fewer of its layers are on the GPU than the run wants.
   */
  async #modelFor({ modelKey, model, origin, request }: RunDetails, ports: ModelPorts): Promise<LoadedModel> {
    if (this.#model?.key === modelKey && sameBudget(this.#model, request.quantization)) return this.#model;
    ports.emit({ type: 'preparing', runId: ports.runId, stage: 'loading' });
    const gpu = await this.#device();
    const data = this.#dataModel === modelKey ? this.#data : null;
    this.#dropModel();
    const cached: ModelLocation = { kind: 'cached', key: modelKey, name: model.name };
    const again = this.#origin ?? origin;
    const loaded = await loadModel(gpu, cached, request.quantization, ports).catch((error: unknown) => {
      if (!(error instanceof ModelNotCachedError) || !again || again.kind === 'cached') throw error;
      return loadModel(gpu, again, request.quantization, ports);
    });
    this.#model = loaded;
    // The same model on another device: the rows' tokens are the host's, and good as they are.
    this.#data = data;
    this.#openPool(loaded);
    ports.emit({ type: 'preparing', runId: ports.runId, stage: 'compiling' });
    this.#tellReady(loaded, gpu, ports.runId);
    return loaded;
  }

  #tellReady({ info, weights, notKept }: LoadedModel, gpu: Gpu, runId: string): void {
    const memory = gpu.ledger.byCategory();
    this.#emit({ type: 'model-ready', runId, info, memory, layers: weights.slots, notKept });
  }

  #openPool({ tokenizerFiles }: LoadedModel): void {
    this.#pool = new TokenizerPool(tokenizerFiles, this.#createTokenizerWorker, poolWidth(this.#cores));
  }

  #claim(runId: string): void {
    if (this.#exclusive !== null) {
      throw new StudioOrderError('The GPU is busy with another load or run. Wait for it, or stop it first.');
    }
    this.#exclusive = runId;
  }

  #dropModel(): void {
    this.#dropText();
    this.#tuned = null;
    this.#opened = null;
    this.#model?.weights.dispose();
    this.#pool?.close();
    this.#pool = null;
    this.#model = null;
    // Its tokens are of the old model's vocabulary.
    this.#data = null;
  }

  #needModel(): LoadedModel {
    if (!this.#model) throw new StudioOrderError('No model is loaded. Load one in the Model step.');
    return this.#model;
  }

  async #sources(location: DataLocation, ports: ModelPorts): Promise<RangeSource[]> {
    return location.kind === 'files' ? droppedSources(location) : downloadDataset(location, ports);
  }

  #needRows(): ReadData {
    if (!this.#read) throw new StudioOrderError('No data is loaded. Drop a file in the Data step.');
    return this.#read;
  }

  #needData(): LoadedData {
    if (!this.#data) throw new StudioOrderError('No data is loaded. Drop a file in the Data step.');
    return this.#data;
  }
}

interface PredictedModel {
  readonly memory: ModelMemory;
  /** What the cache knows it by. */
  readonly key: string;
}

/** Whether it was loaded with the budgets that these settings have. */
const sameBudget = ({ quantization }: LoadedModel, wanted: QuantizationConfig) =>
  quantization.weight_memory_budget === wanted.weight_memory_budget &&
  quantization.weight_host_memory_budget === wanted.weight_host_memory_budget;

/** A zip that the studio or another program wrote, or the two files of a PEFT adapter. */
async function openAdapter(files: readonly File[]): Promise<PeftAdapter> {
  const [first] = files;
  if (files.length === 1 && /\.zip$/i.test(first.name)) {
    if (first.size > ZIP_CAP) throw new RangeError(`${first.name} is too large to be an adapter.`);
    const entries = unzipSync(new Uint8Array(await first.arrayBuffer()));
    if (!Object.keys(entries).some((path) => path.endsWith('adapter_config.json'))) {
      throw new NoAdapterError(
        `${first.name} holds no adapter: it has no adapter_config.json. If it holds a dataset or a model, unpack it and drop its files.`,
      );
    }
    const unpacked = Object.entries(entries).map(([path, bytes]) => ({
      path,
      file: new Blob([bytes as Uint8Array<ArrayBuffer>]),
    }));
    return readPeftAdapter(droppedFolder(first.name, unpacked));
  }
  const name = first ? first.name : 'the adapter';
  return readPeftAdapter(
    droppedFolder(
      name,
      files.map((file) => ({ path: file.webkitRelativePath || file.name, file })),
    ),
  );
}
