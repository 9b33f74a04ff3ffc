/**
 * LoRA adapters in PEFT's own format: `adapter_config.json` + `adapter_model.safetensors`. In memory a tensor is keyed by
 * its module's path in the base model and its role: `model.layers.0.self_attn.q_proj.lora_A`.
 */
import { decodeFloats, isFloatDtype } from './float_dtypes.ts';
import { readJsonFile } from './json_file.ts';
import { adaptedLinears, adapterStrengths, type LoraSettings, patternTest } from './lora.ts';
import type { ModelSpec } from './model_spec.ts';
import {
  AdapterError,
  formatPeftConfig,
  isSet,
  type PeftConfig,
  type PeftConfigFields,
  parsePeftConfig,
} from './peft_config.ts';
import type { Folder } from './range_source.ts';
import { readSafetensorsHeader } from './safetensors.ts';
import { type F32Tensor, writeSafetensors } from './safetensors_writer.ts';

/** A is `[r, inFeatures]`, B is `[outFeatures, r]`, row-major; DoRA's magnitude vector is `[outFeatures]`. */
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
/** PEFT writes the magnitude vector without `.weight`. */
const KEY =
  /^base_model\.model\.(?:(?<matrix>.+\.lora_[AB])\.weight|(?<vector>.+\.lora_magnitude_vector)(?:\.weight)?)$/;
const ROLE = /^(?<module>.+)\.(?<role>lora_A|lora_B|lora_magnitude_vector)$/;
const DAMAGED = 'Download or export the adapter again.';

/**
 * Reads an adapter folder; F16 and BF16 tensors are widened to float32. Throws {@link AdapterError} with the reason when
 * the adapter is more than LoRA or DoRA, has other tensors than pairs of A and B of the rank that the config says, or a value that is not finite;
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
    const parts = KEY.exec(name)?.groups;
    const key = parts?.matrix ?? parts?.vector;
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
  checkModules(folder.name, config, tensors);
  return { name: folder.name, config, tensors };
}

function explainKey(name: string): string {
  if (name.includes('lora_embedding_')) return 'embeddings are adapted, which comes in a later release';
  return `keys are ${KEY_PREFIX}<module>.lora_A.weight and lora_B`;
}

/** Of every module both halves, of the rank that the config says, and with DoRA its magnitude vector. */
function checkModules(adapter: string, config: PeftConfig, tensors: PeftAdapter['tensors']): void {
  if (tensors.size === 0) throw new AdapterError(adapter, `${TENSOR_FILE} has no tensors`, DAMAGED);
  const strengthOf = adapterStrengths(config);
  for (const [key, { shape }] of tensors) {
    const { module, role } = ROLE.exec(key)!.groups as { module: string; role: string };
    const { rank } = strengthOf(module);
    const expected = { lora_A: [rank, 'in'], lora_B: ['out', rank], lora_magnitude_vector: ['out'] }[role]!;
    if (shape.length !== expected.length || expected.some((n, i) => typeof n === 'number' && n !== shape[i])) {
      const problem = `has the wrong shape: ${CONFIG_FILE} says [${expected.join(', ')}], found [${shape.join(', ')}]`;
      throw new AdapterShapeError(adapter, key, problem);
    }
    for (const other of roles(config.use_dora)) {
      if (tensors.has(`${module}.${other}`)) continue;
      throw new AdapterError(adapter, `it has ${key} but not ${module}.${other}; they only work together`, DAMAGED);
    }
    if (role === 'lora_magnitude_vector' && !config.use_dora) {
      throw new AdapterError(adapter, `it has ${key}, but use_dora is false`, DAMAGED);
    }
  }
}

const roles = (dora: boolean) => ['lora_A', 'lora_B', ...(dora ? ['lora_magnitude_vector'] : [])];

/**
 * The adapter's tensors for a run: key and shape, layer by layer, each linear's A before its B, then with DoRA its
 * magnitude vector.
 */
export function expectedAdapterTensors(
  spec: ModelSpec,
  lora: LoraSettings & { readonly use_dora?: boolean },
): { readonly key: string; readonly shape: readonly number[] }[] {
  return [...adaptedLinears(spec, lora).values()].flatMap(({ path, linear, rank }) => [
    { key: `${path}.lora_A`, shape: [rank, linear.inFeatures] },
    { key: `${path}.lora_B`, shape: [linear.outFeatures, rank] },
    ...(lora.use_dora ? [{ key: `${path}.lora_magnitude_vector`, shape: [linear.outFeatures] }] : []),
  ]);
}

/**
 * Does the adapter fit the model and the run that is to continue it? Throws {@link AdapterShapeError} naming the tensor with its
 * expected and found shape; {@link AdapterError} when the scale on B·A would change, which no shape shows.
 */
export function checkAdapter(
  adapter: PeftAdapter,
  spec: ModelSpec,
  lora: LoraSettings & { readonly use_dora?: boolean },
): void {
  const { name, config } = adapter;
  if (config.use_dora !== (lora.use_dora ?? false)) {
    const [theirs, ours] = config.use_dora ? ['DoRA', 'plain LoRA'] : ['plain LoRA', 'DoRA'];
    throw new AdapterError(name, `it is ${theirs}, but the run is ${ours}`, `Set use_dora to ${config.use_dora}.`);
  }
  const expected = expectedAdapterTensors(spec, lora);
  for (const { key, shape } of expected) {
    const found = adapter.tensors.get(key)?.shape;
    if (found === undefined) {
      throw new AdapterShapeError(name, key, `is missing; expected with shape [${shape.join(', ')}]`);
    }
    if (found.length !== shape.length || found.some((n, i) => n !== shape[i])) {
      const shapes = `expected [${shape.join(', ')}], found [${found.join(', ')}]`;
      throw new AdapterShapeError(name, key, `has the wrong shape: ${shapes}`);
    }
  }
  const known = new Set(expected.map(({ key }) => key));
  for (const [key, { shape }] of adapter.tensors) {
    if (!known.has(key)) {
      const problem = `with shape [${shape.join(', ')}] is expected nowhere: not a target module of this model and run`;
      throw new AdapterShapeError(name, key, problem);
    }
  }
  const theirs = adapterStrengths(config);
  for (const { path, scale } of adaptedLinears(spec, lora).values()) {
    if (theirs(path).scale === scale) continue;
    throw new AdapterError(
      name,
      `${path} was trained with the scale ${theirs(path).scale} (r ${config.r}, lora_alpha ${config.lora_alpha}, ` +
        `use_rslora ${config.use_rslora}, and the patterns), but the run has ${scale}`,
      "Set the run's lora_alpha, use_rslora and alpha_pattern to the adapter's.",
    );
  }
}

export interface AdapterFile {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface AdapterToWrite {
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
  /** `all-linear` and expressions are written out as the modules that the tensors belong to, as PEFT does. */
  readonly config: Omit<PeftConfigFields, 'target_modules'> & Pick<LoraSettings, 'target_modules'>;
}

/**
 * The two files of an adapter folder, as PEFT 0.21 writes them, tensors in float32. Throws RangeError for a key that is
 * not `<module>.lora_A`, `.lora_B` or `.lora_magnitude_vector`, or a tensor whose data does not match its shape.
 */
export function writePeftAdapter({ tensors, config }: AdapterToWrite): AdapterFile[] {
  const modules = new Set<string>();
  const entries = new Map<string, F32Tensor>();
  for (const [key, { shape, data }] of tensors) {
    const { module, role } = ROLE.exec(key)?.groups ?? {};
    if (module === undefined) throw new RangeError(`${key} is not the key of an adapter's tensor.`);
    modules.add(module);
    const suffix = role === 'lora_magnitude_vector' ? '' : '.weight';
    entries.set(`${KEY_PREFIX}${key}${suffix}`, { dtype: 'F32', shape, data });
  }
  const target_modules = writtenTargets(config.target_modules, [...modules]);
  return [
    { path: CONFIG_FILE, bytes: new TextEncoder().encode(formatPeftConfig({ ...config, target_modules })) },
    { path: TENSOR_FILE, bytes: writeSafetensors(entries, new Map([['format', 'pt']])) },
  ];
}

/** An expression may have chosen some layers only: then whole paths. */
function writtenTargets(targets: LoraSettings['target_modules'], paths: readonly string[]): readonly string[] {
  if (typeof targets !== 'string') return targets;
  if (targets.toLowerCase() !== 'all-linear') return paths;
  return [...new Set(paths.map((path) => path.slice(path.lastIndexOf('.') + 1)))];
}

/** The settings with which a run goes on from an adapter: what they select are the modules that it has tensors for. */
export function continuedLora({ config, tensors }: PeftAdapter): LoraSettings & {
  readonly use_dora: boolean;
  readonly target_modules: readonly string[];
} {
  const { r, lora_alpha, use_rslora, use_dora, target_modules, layers_to_transform, raw } = config;
  const paths = [...new Set([...tensors.keys()].map((key) => key.slice(0, key.lastIndexOf('.'))))];
  const listed = Array.isArray(target_modules) && target_modules.length > 0;
  const names = listed && layers_to_transform === null && !isSet(raw.exclude_modules);
  // A file's patterns may name modules that it does not adapt; a run's may not.
  const inUse = (pattern: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.entries(pattern).filter(([key]) => paths.some(patternTest(key))));
  return {
    r,
    lora_alpha,
    use_rslora,
    use_dora,
    target_modules: names ? target_modules : paths,
    rank_pattern: inUse(config.rank_pattern),
    alpha_pattern: inUse(config.alpha_pattern),
  };
}
