/** The studio's model: what it is before a byte of weights is read, and its weights on the GPU. */
import { Tokenizer } from '../data/tokenizer.ts';
import { copyTokenizerFiles } from '../data/tokenizer_files.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import type { QuantType } from '../engine/kernels/nf4_codebook.ts';
import { type LoadingProgress, ModelWeights } from '../engine/model/weights.ts';
import type { ModelMemory } from '../engine/train/predict_memory.ts';
import { type WeightCache, WeightCacheError } from '../engine/weight_cache.ts';
import { checkCheckpoint, expectedTensors } from '../formats/check_checkpoint.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readModelConfig } from '../formats/model_config.ts';
import { layerLinears, type ModelSpec } from '../formats/model_spec.ts';
import { FileMissingError, type Folder } from '../formats/range_source.ts';
import type { QuantizationConfig } from '../formats/run_config.ts';
import { checkPlannedLinears, type FloatLinears, readPlannedLinears } from '../formats/stored_linears.ts';
import { type DroppedFile, droppedFolder } from '../hub/dropped_folder.ts';
import { ModelChangedError } from '../hub/errors.ts';
import type { Gate } from '../hub/gate.ts';
import { type HubFolder, openHubFolder } from '../hub/model_folder.ts';
import { DownloadSpool, partOf } from '../storage/download_spool.ts';
import { ModelCache } from '../storage/model_cache.ts';
import type { CachedModel } from '../storage/model_manifest.ts';
import { cachedFolder, cachingFolder } from './cached_folder.ts';
import type { FileProgress, ModelInfo, ModelLocation, StudioEvent } from './studio_protocol.ts';
import type { StudioStore } from './studio_storage.ts';
import { quantizationOptions } from './trainer_options.ts';

export interface LoadedModel {
  /** What the cache knows it by. */
  readonly key: string;
  readonly info: ModelInfo;
  readonly spec: ModelSpec;
  readonly tokenizer: Tokenizer;
  /** What the tokenizer was read from. */
  readonly tokenizerFiles: readonly DroppedFile[];
  readonly weights: ModelWeights;
  readonly quantization: QuantizationConfig;
  readonly memory: ModelMemory;
  /** Why it is not in the cache, where it should be. */
  readonly notKept: string | null;
}

export interface InspectedModel {
  readonly info: ModelInfo;
  readonly location: ModelLocation;
  /** What its memory is predicted from. */
  readonly memory: ModelMemory;
  /** Whether its linears are in 4 bits already: settings change nothing of that. */
  readonly stored: boolean;
}

/** What opening a model needs of the session. */
export interface ModelPorts {
  readonly runId: string;
  readonly emit: (event: StudioEvent) => void;
  readonly hubUrl: string;
  readonly token: () => string | null;
  readonly gate: Gate;
  readonly signal: AbortSignal;
  readonly store: StudioStore;
  /** On the disk, for the cache of a model that is to be loaded so, of which so many bytes are there. */
  readonly makeRoom: (
    key: string,
    model: Pick<InspectedModel, 'memory' | 'stored'>,
    quantization: QuantizationConfig,
    cachedBytes: number,
  ) => Promise<void>;
}

export class NoWeightsError extends Error {
  override name = 'NoWeightsError';
}

interface OpenFolder {
  readonly folder: Folder;
  readonly commit: string | null;
  readonly files: readonly { readonly path: string; readonly size: number }[];
  readonly hub: HubFolder | null;
  close(): void;
}

async function openFolder(
  location: Exclude<ModelLocation, { kind: 'cached' }>,
  ports: ModelPorts,
): Promise<OpenFolder> {
  if (location.kind === 'files') {
    const files = location.files.map(({ path, file }) => ({ path, size: file.size }));
    return { folder: droppedFolder(location.name, location.files), commit: null, files, hub: null, close() {} };
  }
  const { runId, emit, hubUrl, token, gate, signal } = ports;
  const hub = await openHubFolder({
    id: location.id,
    revision: location.revision,
    hubUrl,
    token,
    gate,
    signal,
    onRetry: (notice) => emit({ type: 'retrying', runId, ...notice }),
  });
  return { folder: hub, commit: hub.commit, files: hub.files, hub, close: () => hub.close() };
}

/** From config.json and the file list alone. Rejects with the named errors of `hub` and `formats`. */
export async function inspectModel(location: ModelLocation, ports: ModelPorts): Promise<InspectedModel> {
  if (location.kind === 'cached') return inspectCached(location, ports);
  const opened = await openFolder(location, ports);
  try {
    const { info, spec } = await describe(opened);
    return { info, location, ...(await memoryOf(opened.folder, info, spec)) };
  } finally {
    opened.close();
  }
}

/** From config.json alone, as bitsandbytes has written it where it was in 4 bits already. */
async function memoryOf(
  folder: Folder,
  info: ModelInfo,
  spec: ModelSpec,
): Promise<Pick<InspectedModel, 'memory' | 'stored'>> {
  const planned = await readPlannedLinears(folder, spec);
  const dtype = planned?.dtype ?? tableDtype(info);
  const floats = planned && { dtype, paths: planned.skipped };
  const memory = { spec, doubleQuant: planned?.doubleQuant ?? true, floats, tableDtype: dtype };
  return { memory, stored: planned !== null };
}

async function inspectCached(
  location: Extract<ModelLocation, { kind: 'cached' }>,
  ports: ModelPorts,
): Promise<InspectedModel> {
  const cache = await openCache(location.key, ports);
  try {
    if (!cache?.complete) throw new ModelNotCachedError(`${location.name} is no longer in the cache.`);
    const { info, doubleQuant, floats, tableDtype } = cache.complete;
    const spec = await readModelConfig(cachedFolder(info.name, cache));
    return { info, location, memory: { spec, doubleQuant, floats, tableDtype }, stored: true };
  } finally {
    await cache?.close();
  }
}

async function describe({ folder, commit, files }: OpenFolder): Promise<{ info: ModelInfo; spec: ModelSpec }> {
  const spec = await readModelConfig(folder);
  const weights = weightFiles(files);
  if (weights.length === 0) {
    throw new NoWeightsError(`${folder.name} has no safetensors weights. Choose a model that has them.`);
  }
  const info: ModelInfo = {
    name: folder.name,
    commit,
    modelType: spec.modelType,
    parameters: expectedTensors(spec).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    layers: spec.layers.length,
    hiddenSize: spec.hiddenSize,
    vocabSize: spec.vocabSize,
    maxPositions: spec.maxPositions,
    downloadBytes: weights.reduce((sum, { size }) => sum + size, 0),
    weightFiles: weights.length,
    linears: layerLinears(spec).map(({ name }) => name.slice(name.lastIndexOf('.') + 1)),
    linearPaths: layerLinears(spec).map(({ name }) => name),
    chatTemplate: await hasChatTemplate(folder),
  };
  return { info, spec };
}

/** The single file where there is one, as it is what will be read; else the shards. */
function weightFiles(files: OpenFolder['files']) {
  const single = files.filter(({ path }) => /(^|\/)model\.safetensors$/.test(path));
  return single.length > 0 ? single : files.filter(({ path }) => /(^|\/)model-\d+-of-\d+\.safetensors$/.test(path));
}

async function hasChatTemplate(folder: Folder): Promise<boolean> {
  if (await folder.has('chat_template.jinja')) return true;
  if (!(await folder.has('tokenizer_config.json'))) return false;
  const file = await folder.open('tokenizer_config.json');
  return new TextDecoder().decode(await file.read(0, file.size)).includes('"chat_template"');
}

/** Weights of more than three bytes each are f32; the tables of those in 4 bits have 16. */
const tableDtype = ({ downloadBytes, parameters }: ModelInfo) => (downloadBytes > 3 * parameters ? 'F32' : 'BF16');

/** Milliseconds between two reports of progress. */
const REPORT_MS = 100;

/**
 * Streams the model's weights onto the GPU, quantized as they come. Rejects with the named errors of `hub`, `formats`,
 * `data` and `engine`, or the signal's reason; nothing stays on the GPU then.
 */
export async function loadModel(
  gpu: Gpu,
  location: ModelLocation,
  quantization: QuantizationConfig,
  ports: ModelPorts,
): Promise<LoadedModel> {
  try {
    return await loadOnce(gpu, location, quantization, ports);
  } catch (error) {
    if (!(error instanceof ModelChangedError)) throw error;
    // Another version was put in its place while it was read: from the start, once, at the new commit.
    ports.emit({ type: 'retrying', runId: ports.runId, attempt: 1, seconds: 0, reason: error.message });
    return loadOnce(gpu, location, quantization, ports);
  }
}

async function loadOnce(
  gpu: Gpu,
  location: ModelLocation,
  quantization: QuantizationConfig,
  ports: ModelPorts,
): Promise<LoadedModel> {
  const known = await knownKey(location, quantization);
  const cached = known && (await loadCached(gpu, known, quantization, ports));
  if (cached) return cached;
  if (location.kind === 'cached') {
    throw new ModelNotCachedError(`${location.name} is no longer in the cache. Load it from where it came from.`);
  }
  const opened = await openFolder(location, ports);
  const pinned = location.kind === 'hub' && opened.commit ? { ...location, revision: opened.commit } : location;
  const key = known ?? (await keyOf(pinned, quantization));
  const cache = await openCache(key, ports);
  let spooled = true;
  const spool = cache && opened.hub && (await openSpool(key, opened.hub, ports));
  try {
    const { info, spec } = await describe(opened);
    const folder = cache ? cachingFolder(opened.folder, cache) : opened.folder;
    if (cache) await readModelConfig(folder);
    const tokenizerFiles = await copyTokenizerFiles(folder);
    const tokenizer = await Tokenizer.load(droppedFolder(opened.folder.name, tokenizerFiles));
    const checkpoint = await openCheckpoint(opened.folder, spec.tensors.olderPrefixes);
    checkCheckpoint(spec, checkpoint);
    checkPlannedLinears(await readPlannedLinears(opened.folder, spec), spec, checkpoint);
    if (cache) {
      await ports.makeRoom(key, await memoryOf(opened.folder, info, spec), quantization, cache.bytes);
      await ports.store.putModel(manifestOf(key, info, cache, null));
    }
    const weights = await ModelWeights.load(gpu, spec, checkpoint, {
      ...quantizationOptions(quantization),
      cache: cache && spool && opened.hub ? releasing(cache, spool, opened.hub) : cache,
      signal: ports.signal,
      onLoading: reporter(ports, opened.hub),
    });
    gpu.check();
    const memory = { spec, ...weights.formats, tableDtype: weights.embedding.dtype, budget: weights.budget };
    if (cache) {
      const origin = location.kind === 'hub' ? { ...location, revision: opened.commit ?? location.revision } : null;
      const { quantType } = weights;
      const details: CachedDetails = {
        ...{ info, quantization, quantType, ...weights.formats, tableDtype: memory.tableDtype, origin },
      };
      if (await cache.finish(details)) spooled = false;
      await ports.store.putModel(manifestOf(key, info, cache, cache.complete));
    }
    const notKept = cache?.failure?.message ?? null;
    return { key, info, spec, tokenizer, tokenizerFiles, weights, quantization, memory, notKept };
  } finally {
    await cache?.close();
    opened.close();
    await spool?.close();
    if (spool && !spooled) await ports.store.deleteModel(partOf(key));
  }
}

/** Bytes that arrive from the Hub are kept until their section is. Null where they cannot be. */
async function openSpool(key: string, hub: HubFolder, { store }: ModelPorts): Promise<DownloadSpool | null> {
  try {
    const spool = await DownloadSpool.open(await store.openDisk(partOf(key)));
    hub.keepIn(spool);
    return spool;
  } catch {
    return null;
  }
}

/** The cache; what was downloaded for a section is let go of once the section is there. */
const releasing = (cache: ModelCache<CachedDetails>, spool: DownloadSpool, hub: HubFolder): WeightCache => ({
  read: (section, into) => cache.read(section, into),
  reader: () => cache.reader(),
  async write(section, bytes) {
    await cache.write(section, bytes);
    if (!cache.failure) await spool.release((path, begin, end) => hub.wasRead(path, begin, end));
  },
});

/** What a complete cache says of its model. */
export interface CachedDetails {
  readonly info: ModelInfo;
  readonly quantization: QuantizationConfig;
  /** What the codes stand for: the checkpoint's own where it was in 4 bits. */
  readonly quantType: QuantType;
  readonly doubleQuant: boolean;
  /** Absent in what was written before checkpoints could have such. */
  readonly floats?: FloatLinears | null;
  readonly tableDtype: ModelMemory['tableDtype'];
  /** Where it can be loaded from again. */
  readonly origin: Extract<ModelLocation, { kind: 'hub' }> | null;
}

export class ModelNotCachedError extends Error {
  override name = 'ModelNotCachedError';
}

/** Null where the cache lacks it, or is damaged: then it is emptied. */
async function loadCached(
  gpu: Gpu,
  key: string,
  { weight_memory_budget: budget, weight_host_memory_budget: hostBudget }: QuantizationConfig,
  ports: ModelPorts,
): Promise<LoadedModel | null> {
  if (!(await ports.store.models()).some((model) => model.key === key && model.complete)) return null;
  const cache = await openCache(key, ports);
  const details = cache?.complete;
  if (!cache || !details) {
    await cache?.close();
    return null;
  }
  try {
    const { info, doubleQuant, floats, tableDtype } = details;
    const quantization = {
      ...details.quantization,
      weight_memory_budget: budget,
      weight_host_memory_budget: hostBudget,
    };
    const folder = cachedFolder(info.name, cache);
    const spec = await readModelConfig(folder);
    const tokenizerFiles = await copyTokenizerFiles(folder);
    const tokenizer = await Tokenizer.load(droppedFolder(info.name, tokenizerFiles));
    const onLoading = reporter(ports, null);
    const { signal } = ports;
    const weights = await ModelWeights.fromCache(gpu, spec, cache, {
      ...{ quantType: details.quantType, doubleQuant, floats, tableDtype, signal, onLoading },
      ...(budget !== undefined && { budget }),
      ...(hostBudget !== undefined && { hostBudget }),
    });
    gpu.check();
    await ports.store.putModel(manifestOf(key, info, cache, details));
    const memory = { spec, ...weights.formats, tableDtype, budget: weights.budget };
    return { key, info, spec, tokenizer, tokenizerFiles, weights, quantization, memory, notKept: null };
  } catch (error) {
    if (!(error instanceof WeightCacheError || error instanceof FileMissingError)) throw error;
    await cache.clear();
    await ports.store.putModel(manifestOf(key, details.info, cache, null));
    return null;
  } finally {
    await cache.close();
  }
}

/** Null where it cannot be had: another tab may be loading the same model. */
async function openCache(key: string, { store }: ModelPorts): Promise<ModelCache<CachedDetails> | null> {
  if (store.volatile !== null) return null;
  try {
    return await ModelCache.open<CachedDetails>(await store.openDisk(key));
  } catch {
    return null;
  }
}

function manifestOf(
  key: string,
  info: ModelInfo,
  cache: ModelCache<CachedDetails>,
  details: CachedDetails | null,
): CachedModel<CachedDetails | null> {
  const { name, commit } = info;
  return { key, name, commit, used: Date.now(), bytes: cache.bytes, complete: details !== null, details };
}

/** What the cache would know an inspected model by. */
export function inspectedKey({ location, info }: InspectedModel, quantization: QuantizationConfig): Promise<string> {
  if (location.kind === 'cached') return Promise.resolve(location.key);
  return keyOf(
    location.kind === 'hub' && info.commit ? { ...location, revision: info.commit } : location,
    quantization,
  );
}

/** The key where it is known before anything is opened. */
async function knownKey(location: ModelLocation, quantization: QuantizationConfig): Promise<string | null> {
  if (location.kind === 'cached') return location.key;
  const pinned = location.kind === 'files' || /^[0-9a-f]{40}$/.test(location.revision);
  return pinned ? keyOf(location, quantization) : null;
}

/** Of what decides about the bytes. Goes up when their layout changes. */
const CACHE_LAYOUT = 1;

async function keyOf(
  location: Exclude<ModelLocation, { kind: 'cached' }>,
  { bnb_4bit_quant_type, bnb_4bit_use_double_quant, embeddings_in_8bit }: QuantizationConfig,
): Promise<string> {
  const what =
    location.kind === 'hub'
      ? [location.id, location.revision]
      : location.files.map(({ path, file }) => [path, file.size, file.lastModified]);
  const text = JSON.stringify([CACHE_LAYOUT, what, bnb_4bit_quant_type, bnb_4bit_use_double_quant, embeddings_in_8bit]);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return `model-${Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** Tells of progress, not too often. */
function reporter({ runId, emit }: ModelPorts, hub: HubFolder | null) {
  let reported = Number.NEGATIVE_INFINITY;
  return ({ loadedBytes, totalBytes, tensor }: LoadingProgress) => {
    const now = performance.now();
    if (now - reported < REPORT_MS && loadedBytes < totalBytes) return;
    reported = now;
    const files: readonly FileProgress[] = hub?.progress.files ?? [];
    const hosts = hub?.progress.hosts ?? [];
    emit({ type: 'model-progress', runId, loadedBytes, totalBytes, tensor, files, hosts });
  };
}
