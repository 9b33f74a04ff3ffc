/**
 * LoRA adapters in PEFT's own format: `adapter_config.json` + `adapter_model.safetensors`. In memory a tensor is keyed by
 * its module's path in the base model and its role: `model.layers.0.self_attn.q_proj.lora_A`.
 */
import { decodeFloats, isFloatDtype } from './float_dtypes.ts';
import { readJsonFile } from './json_file.ts';
import { type LoraSettings, loraScale, selectLoraTargets } from './lora.ts';
import type { ModelSpec } from './model_spec.ts';
import {
  AdapterError,
  formatPeftConfig,
  type PeftConfig,
  type PeftConfigFields,
  parsePeftConfig,
} from './peft_config.ts';
import type { Folder } from './range_source.ts';
import { readSafetensorsHeader } from './safetensors.ts';
import { type F32Tensor, writeSafetensors } from './safetensors_writer.ts';

/** A is `[r, inFeatures]`, B is `[outFeatures, r]`, row-major. */
export interface AdapterTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface PeftAdapter {
  /** For messages: the folder's name. */
  readonly name: string;
  readonly config: PeftConfig;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
}

/** An adapter's tensor does not fit the model or the run. */
export class AdapterShapeError extends AdapterError {
  override name = 'AdapterShapeError';
  readonly tensor: string;
  constructor(adapter: string, tensor: string, problem: string) {
    super(
      adapter,
      `tensor ${tensor} ${problem}`,
      'Is this adapter for this model, with the same r and target_modules?',
    );
    this.tensor = tensor;
  }
}

const CONFIG_FILE = 'adapter_config.json';
const TENSOR_FILE = 'adapter_model.safetensors';
const CONFIG_CAP = 10_000_000;
const KEY_PREFIX = 'base_model.model.';
const KEY = /^base_model\.model\.(.+\.lora_[AB])\.weight$/;
const DAMAGED = 'Download or export the adapter again.';

/**
 * Reads an adapter folder; F16 and BF16 tensors are widened to float32. Throws {@link AdapterError} with the reason when
 * the adapter is more than plain LoRA, has other tensors than pairs of A and B of rank r, or a value that is not finite;
 * SafetensorsError and FileMissingError as they come.
 */
export async function readPeftAdapter(folder: Folder): Promise<PeftAdapter> {
  const json: unknown = await readJsonFile(folder, CONFIG_FILE, CONFIG_CAP, JSON.parse, (problem) => {
    throw new AdapterError(folder.name, problem, DAMAGED);
  });
  const config = parsePeftConfig(folder.name, json);
  if (!(await folder.has(TENSOR_FILE)) && (await folder.has('adapter_model.bin'))) {
    throw new AdapterError(
      folder.name,
      'it is stored as adapter_model.bin, a Python pickle, which is not read',
      'Save it again with PEFT, which writes adapter_model.safetensors.',
    );
  }
  const file = await readSafetensorsHeader(await folder.open(TENSOR_FILE));
  const tensors = new Map<string, AdapterTensor>();
  for (const { name, dtype, shape, begin, end } of file.tensors.values()) {
    const key = KEY.exec(name)?.[1];
    if (key === undefined) throw new AdapterError(folder.name, `unknown tensor ${name}: ${explainKey(name)}`, DAMAGED);
    if (!isFloatDtype(dtype)) {
      throw new AdapterError(folder.name, `tensor ${name} has the dtype ${dtype}, not F32, F16 or BF16`, DAMAGED);
    }
    const data = decodeFloats(dtype, await file.source.read(begin, end));
    if (!data.every(Number.isFinite)) {
      throw new AdapterError(folder.name, `tensor ${name} has a value that is NaN or infinite`, 'Use an earlier one.');
    }
    tensors.set(key, { shape, data });
  }
  checkPairs(folder.name, config.r, tensors);
  return { name: folder.name, config, tensors };
}

function explainKey(name: string): string {
  if (name.includes('lora_embedding_')) return 'embeddings are adapted, which comes in a later release';
  if (name.includes('lora_magnitude_vector')) return 'it belongs to DoRA, which comes in a later release';
  return `keys are ${KEY_PREFIX}<module>.lora_A.weight and lora_B`;
}

/** Both halves of every pair, of the rank that the config says. */
function checkPairs(adapter: string, r: number, tensors: ReadonlyMap<string, AdapterTensor>): void {
  if (tensors.size === 0) throw new AdapterError(adapter, `${TENSOR_FILE} has no tensors`, DAMAGED);
  for (const [key, { shape }] of tensors) {
    const role = key.slice(-1);
    if (shape.length !== 2 || shape[role === 'A' ? 0 : 1] !== r) {
      const expected = role === 'A' ? `[${r}, in]` : `[out, ${r}]`;
      const problem = `has the wrong shape: ${CONFIG_FILE} says ${expected}, found [${shape.join(', ')}]`;
      throw new AdapterShapeError(adapter, key, problem);
    }
    const partner = `${key.slice(0, -1)}${role === 'A' ? 'B' : 'A'}`;
    if (!tensors.has(partner)) {
      throw new AdapterError(adapter, `it has ${key} but not ${partner}; they only work together`, DAMAGED);
    }
  }
}

/**
 * The adapter's tensors for a run: key and shape, layer by layer, each linear's A before its B. This is also the order of
 * the run's trainable parameters.
 */
export function expectedAdapterTensors(
  spec: ModelSpec,
  lora: Pick<LoraSettings, 'r' | 'target_modules'>,
): { readonly key: string; readonly shape: readonly [number, number] }[] {
  const targets = selectLoraTargets(spec, lora.target_modules);
  return spec.layers.flatMap((_, layer) =>
    targets.flatMap(({ name, inFeatures, outFeatures }) => {
      const module = `${spec.tensors.layerPrefix}${layer}.${name}`;
      return [
        { key: `${module}.lora_A`, shape: [lora.r, inFeatures] as const },
        { key: `${module}.lora_B`, shape: [outFeatures, lora.r] as const },
      ];
    }),
  );
}

/**
 * Does the adapter fit the model and the run that is to continue it? Throws {@link AdapterShapeError} naming the tensor with its
 * expected and found shape; {@link AdapterError} when the scale on B·A would change, which no shape shows.
 */
export function checkAdapter(adapter: PeftAdapter, spec: ModelSpec, lora: LoraSettings): void {
  const expected = expectedAdapterTensors(spec, lora);
  for (const { key, shape } of expected) {
    const found = adapter.tensors.get(key)?.shape;
    if (found === undefined) {
      throw new AdapterShapeError(adapter.name, key, `is missing; expected with shape [${shape.join(', ')}]`);
    }
    if (found.length !== 2 || found[0] !== shape[0] || found[1] !== shape[1]) {
      const shapes = `expected [${shape.join(', ')}], found [${found.join(', ')}]`;
      throw new AdapterShapeError(adapter.name, key, `has the wrong shape: ${shapes}`);
    }
  }
  const known = new Set(expected.map(({ key }) => key));
  for (const [key, { shape }] of adapter.tensors) {
    if (!known.has(key)) {
      const problem = `with shape [${shape.join(', ')}] is expected nowhere: not a target module of this model and run`;
      throw new AdapterShapeError(adapter.name, key, problem);
    }
  }
  const theirs = loraScale(adapter.config);
  const ours = loraScale(lora);
  if (theirs !== ours) {
    throw new AdapterError(
      adapter.name,
      `it was trained with the scale ${theirs} (r ${adapter.config.r}, lora_alpha ${adapter.config.lora_alpha}, ` +
        `use_rslora ${adapter.config.use_rslora}), but the run has ${ours}`,
      "Set the run's lora_alpha and use_rslora to the adapter's.",
    );
  }
}

export interface AdapterFile {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface AdapterToWrite {
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
  /** `all-linear` is written out as the modules that the tensors belong to, as PEFT does. */
  readonly config: Omit<PeftConfigFields, 'target_modules'> & Pick<LoraSettings, 'target_modules'>;
}

/**
 * The two files of an adapter folder, as PEFT 0.21 writes them, tensors in float32. Throws RangeError for a key that is
 * not `<module>.lora_A` or `.lora_B`, or a tensor whose data does not match its shape.
 */
export function writePeftAdapter({ tensors, config }: AdapterToWrite): AdapterFile[] {
  const modules = new Set<string>();
  const entries = new Map<string, F32Tensor>();
  for (const [key, { shape, data }] of tensors) {
    const module = /([^.]+)\.lora_[AB]$/.exec(key)?.[1];
    if (module === undefined) throw new RangeError(`${key} is not the key of an adapter's tensor.`);
    modules.add(module);
    entries.set(`${KEY_PREFIX}${key}.weight`, { dtype: 'F32', shape, data });
  }
  const target_modules = config.target_modules === 'all-linear' ? [...modules] : config.target_modules;
  return [
    { path: CONFIG_FILE, bytes: new TextEncoder().encode(formatPeftConfig({ ...config, target_modules })) },
    { path: TENSOR_FILE, bytes: writeSafetensors(entries, new Map([['format', 'pt']])) },
  ];
}
