/**
 * Plays a believable session without a GPU or a network: for tests of the page and for work on its looks. What a
 * scenario needs is asked for by what a person does: Llama is gated until a token is given, gpt2 is not supported, the
 * 360M model loses its connection half way and needs another's room on the disk, a learning rate of 0.1 ends in NaN.
 */
import { NF4_CODEBOOK } from '../../engine/kernels/nf4_codebook.ts';
import type { MemoryCategory } from '../../worker/protocol.ts';
import type { ModelInfo, ModelLocation, StudioCommand, StudioEvent } from '../../worker/studio_protocol.ts';
import { droppedSources, type ReadData, rawRows, readData } from '../../worker/studio_read.ts';
import type { StudioWorker } from '../studio_client.ts';
import { FAKE_MODELS, FAKE_RESULTS } from './fake_models.ts';
import { showFakeRow, summarize } from './fake_rows.ts';
import { fakeStorage } from './fake_storage.ts';
import { fakeAnswer, fakeEvaluation, fakePrompt } from './fake_texts.ts';
import { adapterFiles, DIVERGES_AT, evalLoss, stepRecord } from './fake_training.ts';

type Of<T extends StudioCommand['type']> = Extract<StudioCommand, { type: T }>;

export interface FakeOptions {
  /** 1 is about as fast as the real one; larger is faster. */
  readonly speed: number;
  /** Steps a second at speed 1. */
  readonly stepsPerSecond: number;
  readonly gpu: boolean;
}

interface Job {
  paused: boolean;
  stopped: boolean;
}

export class FakeWorker implements StudioWorker {
  readonly #deleted = new Set<string>();
  onmessage: StudioWorker['onmessage'] = null;
  onerror: StudioWorker['onerror'] = null;
  readonly #options: FakeOptions;
  readonly #jobs = new Map<string, Job>();
  /** Of the last run. */
  #step = 0;
  #token: string | null = null;
  #model: ModelInfo | null = null;
  #read: ReadData | null = null;

  constructor(options: Partial<FakeOptions> = {}) {
    this.#options = { speed: 1, stepsPerSecond: 4, gpu: true, ...options };
  }

  postMessage(command: StudioCommand): void {
    void this.#answer(command);
  }

  terminate(): void {
    for (const job of this.#jobs.values()) job.stopped = true;
    this.onmessage = null;
  }

  async #answer(command: StudioCommand): Promise<void> {
    switch (command.type) {
      case 'start':
        return this.#start(command);
      case 'token':
        this.#token = command.token;
        return;
      case 'search':
        await this.#wait(250);
        return this.#search(command);
      case 'inspect-model':
        await this.#wait(500);
        return this.#inspect(command);
      case 'predict': {
        const model = this.#model ?? FAKE_MODELS[0]!;
        return this.#say({ type: 'prediction', runId: command.runId, ...fakePrediction(model, command) });
      }
      case 'load-model':
        return this.#load(command);
      case 'read-data':
        return this.#readData(command);
      case 'raw-rows': {
        const rows = this.#read ? await rawRows(this.#read, command.from, command.count) : [];
        return this.#say({ type: 'raw-rows', runId: command.runId, rows });
      }
      case 'show-row': {
        await this.#wait(40);
        const { runId, row, settings } = command;
        if (this.#read) this.#say({ type: 'row', runId, row: await showFakeRow(this.#read, row, settings) });
        return;
      }
      case 'prepare-data':
        return this.#prepareData(command);
      case 'show-weights':
        return this.#showWeights(command);
      case 'open-adapter':
        await this.#wait(500);
        return this.#openAdapter(command);
      case 'list-storage':
      case 'delete-run':
      case 'delete-model':
        return this.#storage(command);
      case 'resume-run':
        return this.#fail(command.runId, 'CheckpointLostError', 'This worker keeps no runs.');
      case 'train':
        return this.#train(command);
      case 'pause':
      case 'resume':
      case 'stop':
        return this.#control(command.type, command.runId);
      case 'generate':
        return this.#generate(command);
      case 'evaluate':
        return this.#evaluate(command);
      case 'save':
        // As a checkpoint that is written at once.
        return this.#say({ type: 'saved', runId: command.runId, step: this.#step, bytes: 118e6 });
      case 'clear-adapter':
        return;
      default:
        command satisfies never;
    }
  }

  #storage(command: Of<'list-storage' | 'delete-run' | 'delete-model'>): void {
    if (command.type === 'delete-run') this.#deleted.add(command.id);
    if (command.type === 'delete-model') this.#deleted.add(command.key);
    this.#say({ type: 'storage', runId: command.runId, facts: fakeStorage(this.#deleted) });
  }

  #showWeights({ runId, layer, linear }: Of<'show-weights'>): void {
    // As a bell's weights lie on the levels.
    const uses = NF4_CODEBOOK.map((level) =>
      Math.round(2e5 * Math.exp(-4.5 * level * level) * (1 - Math.abs(level) / 3)),
    );
    this.#say({
      type: 'weights',
      runId,
      figures: {
        linear: `model.layers.${layer}.${linear}`,
        quantType: 'nf4',
        doubleQuant: true,
        levels: [...NF4_CODEBOOK],
        uses: [...uses],
        error: 0.0931,
      },
    });
  }

  async #start({ runId }: Of<'start'>): Promise<void> {
    await this.#wait(300);
    if (!this.#options.gpu) {
      const message = 'No graphics adapter answered after 5 tries. Close other tabs that use the GPU, then try again.';
      return this.#fail(runId, 'NoGpuError', message);
    }
    const features = ['shader-f16', 'subgroups', 'timestamp-query'];
    this.#say({ type: 'device', runId, adapter: { name: 'apple metal-3 (fake)', features, subgroupSize: 32 } });
  }

  #search({ runId, query }: Of<'search'>): void {
    if (query.includes('offline')) {
      this.#fail(runId, 'HubError', 'huggingface.co did not answer. Check the connection and search again.');
      return;
    }
    const words = query.toLowerCase();
    const results = FAKE_RESULTS.filter(({ id }) => id.toLowerCase().includes(words));
    this.#say({ type: 'search-results', runId, results });
  }

  #inspect({ runId, location }: Of<'inspect-model'>): void {
    const info = this.#allowed(runId, location);
    if (info) this.#say({ type: 'model-info', runId, info });
  }

  /** Says why not, where it may not be loaded. */
  #allowed(runId: string, location: ModelLocation): ModelInfo | null {
    const name = location.kind === 'hub' ? location.id : location.name;
    if (name.startsWith('meta-llama/') && this.#token === null) {
      const message = `${name} is gated: its owner asks for an agreement. Accept it on the model's page, then give a token.`;
      this.#fail(runId, 'GatedModelError', message);
      return null;
    }
    if (name === 'openai-community/gpt2') {
      const message =
        'config.json: model_type: the architecture "gpt2" is not supported; supported are gemma3_text, llama, qwen3. Choose a model of one of these.';
      this.#fail(runId, 'UnknownArchitectureError', message);
      return null;
    }
    const found = FAKE_MODELS.find((model) => model.name === name);
    return found ?? { ...FAKE_MODELS[0]!, name, commit: location.kind === 'hub' ? FAKE_MODELS[0]!.commit : null };
  }

  async #load({ runId, location }: Of<'load-model'>): Promise<void> {
    const info = this.#allowed(runId, location);
    if (!info) return;
    const job = this.#job(runId);
    const pieces = 60;
    for (let piece = 0; piece <= pieces; piece++) {
      await this.#wait(60);
      await this.#held(job);
      if (job.stopped) return this.#fail(runId, 'CancelledError', 'Cancelled.');
      if (info.name.includes('360M') && piece === 24) {
        this.#say({ type: 'retrying', runId, attempt: 2, seconds: 4, reason: 'The connection was cut.' });
        await this.#wait(4000);
      }
      this.#say({
        type: 'model-progress',
        runId,
        loadedBytes: Math.round((info.downloadBytes * piece) / pieces),
        totalBytes: info.downloadBytes,
        tensor: `model.layers.${Math.floor((piece / pieces) * (info.layers - 1))}.mlp.gate_proj.weight`,
        files: fileProgress(info, piece / pieces),
        hosts: location.kind === 'hub' ? ['huggingface.co', 'cas-bridge.xethub.hf.co'] : [],
      });
    }
    if (info.name.includes('360M')) {
      const evicted = { name: FAKE_MODELS[0]!.name, bytes: 112e6, runs: ['support-replies-2'] };
      this.#say({ type: 'evicted', runId, models: [evicted] });
    }
    this.#model = info;
    const layers = { count: info.layers, of: info.layers };
    this.#say({ type: 'model-ready', runId, info, memory: memoryOf(info, false), layers, notKept: null });
  }

  /** With the real readers: files are files here too. */
  async #readData({ runId, data, validation, text }: Of<'read-data'>): Promise<void> {
    if (data.kind !== 'files') return this.#fail(runId, 'HubError', 'There is no Hub here.');
    const held = validation?.kind === 'files' ? droppedSources(validation) : null;
    const emit = (event: StudioEvent) => this.#say(event);
    const { signal } = new AbortController();
    await readData(droppedSources(data), held, text, { runId, emit, signal }, (read) => {
      this.#read = read;
    }).catch((error: Error) => this.#fail(runId, error.name, error.message));
  }

  async #prepareData({ runId, settings }: Of<'prepare-data'>): Promise<void> {
    const read = this.#read;
    if (!read) return;
    const total = read.rows.length;
    const half = Math.ceil(total / 2);
    this.#say({ type: 'data-progress', runId, stage: 'tokenizing', done: half, total, rows: half });
    await this.#wait(400);
    const summary = await summarize(read, settings);
    if (summary) return this.#say({ type: 'data-ready', runId, summary });
    this.#fail(runId, 'EmptyDatasetError', `None of the ${total} rows can be trained on.`);
  }

  #openAdapter({ runId, files }: Of<'open-adapter'>): void {
    const first = files[0];
    if (!first || !files.some(({ name }) => name.endsWith('.zip') || name === 'adapter_config.json')) {
      const message = 'There is no adapter_config.json. Drop the zip, or both files of the adapter.';
      this.#fail(runId, 'AdapterError', message);
      return;
    }
    const name = first.name.replace(/\.zip$/, '');
    const modules = ['q_proj', 'v_proj', 'down_proj'];
    const lora = { r: 8, lora_alpha: 16, use_rslora: false, use_dora: false, target_modules: modules };
    this.#say({ type: 'adapter-ready', runId, name, lora, modules, tensors: 180 });
  }

  async #train({ runId, request }: Of<'train'>): Promise<void> {
    const model = this.#model ?? FAKE_MODELS[0]!;
    const job = this.#job(runId);
    const { max_steps, eval_steps, learning_rate, gradient_checkpointing } = request.training;
    this.#say({ type: 'precision', runId, choice: { precision: 'f16', errors: { loss: 2e-5, gradient: 0.0031 } } });
    this.#say({
      type: 'memory',
      runId,
      bytes: memoryOf(model, true),
      kept: { layers: gradient_checkpointing ? 0 : 30, of: 30 },
    });
    await this.#wait(600);
    let step = 0;
    const { samples } = request;
    const sample = () => {
      if (!samples) return;
      const texts = samples.prompts.map((_, i) => fakeAnswer(step / max_steps, i));
      this.#say({ type: 'sample', runId, step, texts });
    };
    const tellNorms = () => {
      const norms = Array.from({ length: model.layers }, (_, i) => (step / max_steps) * (1 + i / model.layers));
      this.#say({ type: 'adapter-norms', runId, step, norms });
    };
    sample();
    tellNorms();
    // Timers are not finer than some milliseconds: very fast runs tell several steps at once.
    const { stepsPerSecond, speed } = this.#options;
    const together = Math.max(1, Math.round((stepsPerSecond * speed) / 200));
    while (step < max_steps) {
      if (step % together === 0) await this.#wait((1000 * together) / stepsPerSecond);
      await this.#held(job);
      if (job.stopped) break;
      this.#step = ++step;
      if (learning_rate >= DIVERGES_AT && step === 7) {
        const message = `The loss of step ${step} is NaN. Lower learning_rate (now ${learning_rate}) and start again.`;
        this.#say({
          type: 'failed',
          runId,
          name: 'NonFiniteLossError',
          message,
          files: adapterFiles(model, request),
        });
        return;
      }
      const tokensPerSecond = 1180 + Math.sin(step) * 60;
      this.#say({ type: 'step', runId, record: stepRecord(step, request), totalSteps: max_steps, tokensPerSecond });
      if (samples && step % samples.every === 0) sample();
      if (step % Math.ceil(max_steps / 12) === 0) tellNorms();
      if (eval_steps && step % eval_steps === 0) {
        this.#say({ type: 'evaluation', runId, step, loss: evalLoss(step, max_steps), tokens: 2100 });
      }
    }
    if (!samples || step % samples.every !== 0) sample();
    const files = adapterFiles(model, request);
    this.#say({ type: 'finished', runId, steps: step, stopped: step < max_steps, files });
  }

  async #generate({ runId, rows, sampling }: Of<'generate'>): Promise<void> {
    const job = this.#job(runId);
    await this.#wait(300);
    if (
      rows.some(({ input }) => input.kind === 'chat' && input.messages.some(({ content }) => /overflow/.test(content)))
    ) {
      const message =
        'The text has 9000 tokens; there is room for 8192. Shorten the conversation, or ask for fewer new tokens.';
      return this.#fail(runId, 'ContextFullError', message);
    }
    this.#say({ type: 'prompts', runId, prompts: rows.map(({ input }) => fakePrompt(input)) });
    const words = rows.map(({ strength }) => fakeAnswer(strength, 0).split(/(?= )/));
    const most = Math.min(sampling.max_new_tokens, Math.max(...words.map((own) => own.length)));
    let tokens = 0;
    while (tokens < most && !job.stopped) {
      await this.#wait(45);
      for (const [row, own] of words.entries()) {
        if (tokens < own.length) this.#say({ type: 'text', runId, row, text: own[tokens]!, tokens: tokens + 1 });
      }
      tokens++;
    }
    const ended = words.map((own) => {
      const written = Math.min(tokens, own.length);
      return {
        tokens: written,
        ending: job.stopped ? 'stopped' : written < own.length ? 'length' : 'end of turn',
      } as const;
    });
    const memory = { ...memoryOf(this.#model ?? FAKE_MODELS[0]!, false), cache: 48e6 };
    this.#say({ type: 'generated', runId, rows: ended, seconds: 0.045 * tokens, memory });
  }

  async #evaluate({ runId, files, adapter }: Of<'evaluate'>): Promise<void> {
    const job = this.#job(runId);
    if (!/\.(jsonl|json|csv|tsv|parquet)$/.test(files[0]!.name)) {
      return this.#fail(
        runId,
        'NoQuestionsError',
        'No row asks a question that can be checked. Line 1: text asks nothing.',
      );
    }
    const total = 40;
    let done = 0;
    while (done < total && !job.stopped) {
      await this.#wait(120);
      this.#say({ type: 'evaluate-progress', runId, done: ++done, total });
    }
    this.#say({ type: 'evaluated', runId, result: fakeEvaluation(done, adapter !== 'none', job.stopped) });
  }

  #job(runId: string): Job {
    const job = { paused: false, stopped: false };
    this.#jobs.set(runId, job);
    return job;
  }

  #control(what: 'pause' | 'resume' | 'stop', runId: string): void {
    const job = this.#jobs.get(runId);
    if (!job) return;
    if (what === 'stop') job.stopped = true;
    job.paused = what === 'pause';
    if (what !== 'stop') this.#say({ type: what === 'pause' ? 'paused' : 'resumed', runId });
  }

  async #held(job: Job): Promise<void> {
    while (job.paused && !job.stopped) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms / this.#options.speed));
  }

  #fail(runId: string, name: string, message: string): void {
    this.#say({ type: 'failed', runId, name, message });
  }

  #say(event: StudioEvent): void {
    this.onmessage?.(new MessageEvent('message', { data: event }));
  }
}

function fileProgress({ weightFiles, downloadBytes }: ModelInfo, share: number) {
  return Array.from({ length: weightFiles }, (_, i) => {
    const file =
      weightFiles === 1
        ? 'model.safetensors'
        : `model-${String(i + 1).padStart(5, '0')}-of-${String(weightFiles).padStart(5, '0')}.safetensors`;
    const totalBytes = downloadBytes / weightFiles;
    const loaded = Math.min(1, Math.max(0, share * weightFiles - i));
    return { file, loadedBytes: totalBytes * loaded, totalBytes };
  });
}

/** What a page may count on. */
const ROOM = 2 ** 30;

/** Budgets are kept to; models from half a billion parameters on are more than the GPU has. */
function fakePrediction(model: ModelInfo, { quantization, training }: Of<'predict'>) {
  const all = memoryOf(model, true);
  const { weight_memory_budget = all.weights } = quantization;
  const { optim, optimizer_memory_budget = all.optimizer } = training;
  const moments = optim.startsWith('paged') ? Math.min(all.optimizer, optimizer_memory_budget) : all.optimizer;
  const bytes = { ...all, weights: Math.min(all.weights, weight_memory_budget), optimizer: moments };
  const neededBytes = Object.values(bytes).reduce((a, b) => a + b, 0);
  const over = neededBytes - ROOM;
  const settings = { weight_memory_budget: Math.floor((all.weights - over) / 1e6) * 1e6 };
  return {
    bytes,
    kept: { layers: model.layers, of: model.layers },
    hostBytes: all.optimizer - moments + (bytes.weights < all.weights ? all.weights : 0),
    disk: { run: 3 * (all.adapter + all.optimizer), model: all.weights, left: 180e9 },
    remedy: over > 0 ? { neededBytes, roomBytes: ROOM, settings } : null,
  };
}

function memoryOf({ parameters }: ModelInfo, training: boolean): Record<MemoryCategory, number> {
  return {
    weights: parameters * 0.84,
    adapter: training ? parameters * 0.15 : 0,
    optimizer: training ? parameters * 0.29 : 0,
    activations: training ? 412e6 : 0,
    logits: training ? 96e6 : 0,
    cache: 0,
    staging: 16e6,
  };
}
