/** The studio's model: what it is before a byte of weights is read, and its weights on the GPU. */
import { Tokenizer } from '../data/tokenizer.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import { ModelWeights } from '../engine/model/weights.ts';
import type { ModelMemory } from '../engine/train/predict_memory.ts';
import { checkCheckpoint, expectedTensors } from '../formats/check_checkpoint.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readModelConfig } from '../formats/model_config.ts';
import { layerLinears, type ModelSpec } from '../formats/model_spec.ts';
import type { Folder } from '../formats/range_source.ts';
import type { QuantizationConfig } from '../formats/run_config.ts';
import { droppedFolder } from '../hub/dropped_folder.ts';
import { ModelChangedError } from '../hub/errors.ts';
import type { Gate } from '../hub/gate.ts';
import { type HubFolder, openHubFolder } from '../hub/model_folder.ts';
import type { FileProgress, ModelInfo, ModelLocation, StudioEvent } from './studio_protocol.ts';

export interface LoadedModel {
  readonly info: ModelInfo;
  readonly spec: ModelSpec;
  readonly tokenizer: Tokenizer;
  readonly weights: ModelWeights;
  readonly quantization: QuantizationConfig;
  readonly memory: ModelMemory;
}

export interface InspectedModel {
  readonly info: ModelInfo;
  /** What its memory is predicted from. */
  readonly memory: ModelMemory;
}

/** What opening a model needs of the session. */
export interface ModelPorts {
  readonly runId: string;
  readonly emit: (event: StudioEvent) => void;
  readonly hubUrl: string;
  readonly token: () => string | null;
  readonly gate: Gate;
  readonly signal: AbortSignal;
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

async function openFolder(location: ModelLocation, ports: ModelPorts): Promise<OpenFolder> {
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
  const opened = await openFolder(location, ports);
  try {
    const { info, spec } = await describe(opened);
    return { info, memory: { spec, doubleQuant: true, tableDtype: tableDtype(info) } };
  } finally {
    opened.close();
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
  const { runId, emit, signal } = ports;
  const opened = await openFolder(location, ports);
  try {
    const { info, spec } = await describe(opened);
    const tokenizer = await Tokenizer.load(opened.folder);
    const checkpoint = await openCheckpoint(opened.folder, spec.tensors.olderPrefixes);
    checkCheckpoint(spec, checkpoint);
    let reported = Number.NEGATIVE_INFINITY;
    const weights = await ModelWeights.load(gpu, spec, checkpoint, {
      quantType: quantization.bnb_4bit_quant_type,
      doubleQuant: quantization.bnb_4bit_use_double_quant,
      signal,
      onLoading: ({ loadedBytes, totalBytes, tensor }) => {
        const now = performance.now();
        if (now - reported < REPORT_MS && loadedBytes < totalBytes) return;
        reported = now;
        const files: readonly FileProgress[] = opened.hub?.progress.files ?? [];
        const hosts = opened.hub?.progress.hosts ?? [];
        emit({ type: 'model-progress', runId, loadedBytes, totalBytes, tensor, files, hosts });
      },
    });
    gpu.check();
    const { doubleQuant } = weights.layout;
    const memory = { spec, doubleQuant, tableDtype: weights.embedding.dtype };
    return { info, spec, tokenizer, weights, quantization, memory };
  } finally {
    opened.close();
  }
}
