/** What the studio's worker holds, and what each command does to it. Never rejects: every failure is an event. */
import { unzipSync } from 'fflate';
import type { OpenChat } from '../data/chat_renderer.ts';
import { acquireGpu, type Gpu } from '../engine/device/gpu.ts';
import { continuedLora, type PeftAdapter, readPeftAdapter } from '../formats/peft.ts';
import type { RangeSource } from '../formats/range_source.ts';
import { droppedFolder } from '../hub/dropped_folder.ts';
import { PauseGate } from '../hub/gate.ts';
import { HUB_URL } from '../hub/hosts.ts';
import { searchModels } from '../hub/search.ts';
import { containedChat } from './contained_chat.ts';
import type { WorkerPorts } from './ports.ts';
import { type LoadedData, prepareData, showRow } from './studio_data.ts';
import { downloadDataset } from './studio_hub_data.ts';
import { type InspectedModel, inspectModel, type LoadedModel, loadModel, type ModelPorts } from './studio_model.ts';
import { heldAs, predictStudioRun } from './studio_prediction.ts';
import type { DataLocation, StudioCommand, StudioEvent } from './studio_protocol.ts';
import { droppedSources, type ReadData, rawRows, readData } from './studio_read.ts';
import { trainInStudio } from './studio_train.ts';
import { poolWidth, TokenizerPool } from './tokenizer_pool.ts';
import type { CreateTokenizerWorker } from './tokenizer_protocol.ts';
import { RunFailure } from './train_run.ts';
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
}

/** Bytes of an adapter's zip. */
const ZIP_CAP = 4 * 2 ** 30;

/** What the session needs from where it runs. */
interface StudioPorts extends Pick<WorkerPorts, 'requestGpu' | 'createTemplateWorker'> {
  readonly createTokenizerWorker: CreateTokenizerWorker;
  /** How many processors there are. */
  readonly cores: number;
}

export class StudioSession {
  readonly #emit: (event: StudioEvent) => void;
  readonly #requestGpu: StudioPorts['requestGpu'];
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
  /** Cuts large datasets into the loaded model's tokens. */
  #pool: TokenizerPool | null = null;
  #read: ReadData | null = null;
  #data: LoadedData | null = null;
  #adapter: PeftAdapter | null = null;
  /** The run that has the GPU's memory: a model being loaded or a training. */
  #exclusive: string | null = null;

  constructor(emit: (event: StudioEvent) => void, ports: StudioPorts) {
    this.#emit = emit;
    this.#requestGpu = ports.requestGpu;
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
      case 'stop':
        this.#steer(command);
        return;
      default:
        await this.#run(command);
    }
  }

  #steer({ type, runId }: Extract<StudioCommand, { type: 'pause' | 'resume' | 'stop' }>): void {
    const work = this.#work.get(runId);
    if (!work) return;
    if (type === 'stop') {
      work.controller.abort(new CancelledError('Cancelled. Nothing of it was kept.'));
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
    const work: Work = { gate: new PauseGate(), controller: new AbortController() };
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
    }
  }

  async #execute(command: RunCommand, { gate, controller: { signal } }: Work): Promise<void> {
    const { runId } = command;
    const emit = this.#emit;
    const ports: ModelPorts = { runId, emit, hubUrl: this.#hubUrl, token: () => this.#token, gate, signal };
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
        const inspected = this.#inspected && heldAs(this.#inspected.memory, command.quantization);
        const model = command.of === 'inspected' ? inspected : this.#model?.memory;
        if (!model) throw new StudioOrderError('There is no model to predict for.');
        const { capabilities } = await this.#device();
        const longest = command.of === 'loaded' ? (this.#data?.longest ?? null) : null;
        const { bytes, keptLayers } = predictStudioRun(capabilities, model, command, longest);
        emit({ type: 'prediction', runId, bytes, kept: { layers: keptLayers, of: model.spec.layers.length } });
        return;
      }
      case 'load-model': {
        this.#claim(runId);
        const gpu = await this.#device();
        this.#dropModel();
        const model = await loadModel(gpu, command.location, command.quantization, ports);
        this.#model = model;
        this.#pool = new TokenizerPool(model.tokenizerFiles, this.#createTokenizerWorker, poolWidth(this.#cores));
        emit({ type: 'model-ready', runId, info: model.info, memory: gpu.ledger.byCategory() });
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
        return;
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
        const { request } = command;
        const adapter = this.#adapter;
        await trainInStudio(await this.#device(), { runId, request, model, data, adapter, gate, signal, emit });
        return;
      }
      case 'pause':
      case 'resume':
      case 'stop':
        return;
      default:
        command satisfies never;
    }
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
      this.#data = null;
    });
    return gpu;
  }

  #claim(runId: string): void {
    if (this.#exclusive !== null) {
      throw new StudioOrderError('The GPU is busy with another load or run. Wait for it, or stop it first.');
    }
    this.#exclusive = runId;
  }

  #dropModel(): void {
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
