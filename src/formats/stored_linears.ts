/**
 * How a checkpoint that bitsandbytes quantized holds its linears. config.json says it before anything is downloaded; what
 * counts in the end is, tensor by tensor, whether it has a quant_state.
 */
import { ConfigReader, isRecord } from './config_reader.ts';
import type { FloatDtype } from './float_dtypes.ts';
import { readConfigJson } from './model_config.ts';
import { layerLinears, type ModelSpec } from './model_spec.ts';
import { PatternError, pythonPattern } from './python_pattern.ts';
import type { Folder } from './range_source.ts';

/** Linears that are not in 4 bits beside others that are. */
export interface FloatLinears {
  readonly dtype: FloatDtype;
  /** Module paths, `model.layers.0.mlp.down_proj`. */
  readonly paths: readonly string[];
}

/** As config.json has it. */
export interface PlannedLinears {
  /** Of what is not in 4 bits, tables and norms too; null where config.json does not say. */
  readonly dtype: FloatDtype | null;
  readonly doubleQuant: boolean;
  /** What `llm_int8_skip_modules` leaves out of 4 bits. */
  readonly skipped: readonly string[];
}

/** config.json and the weights say different things of 4 bits. */
export class QuantizationMismatchError extends Error {
  override name = 'QuantizationMismatchError';
}

const DTYPES: Readonly<Record<string, FloatDtype>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };
/** Real lists have some hundreds at most. */
const SKIP_CAP = 2_000;

/** Module paths of all linears of the layers, in order. */
export const linearPaths = (spec: ModelSpec): string[] =>
  spec.layers.flatMap((_, i) => layerLinears(spec).map(({ name }) => `${spec.tensors.layerPrefix}${i}.${name}`));

/**
 * Null where config.json has no quantization. Throws ModelConfigError for fields of another type; what else it may not
 * be, `parseModelConfig` has said.
 */
export function plannedLinears(json: unknown, spec: ModelSpec): PlannedLinears | null {
  const config = new ConfigReader(isRecord(json) ? json : {});
  const quantization = config.object('quantization_config');
  if (quantization === undefined) return null;
  const dtype = [config, config.object('text_config')].flatMap((own) => [own?.get('dtype'), own?.get('torch_dtype')]);
  const names = quantization.list('llm_int8_skip_modules') ?? [];
  if (names.length > SKIP_CAP) {
    quantization.fail('llm_int8_skip_modules', `has ${names.length} entries; at most ${SKIP_CAP} are accepted`);
  }
  const matchers = names.filter((name) => typeof name === 'string').map(matcher);
  return {
    dtype: DTYPES[String(dtype.find((one) => one !== undefined))] ?? null,
    doubleQuant: quantization.boolean('bnb_4bit_use_double_quant', false),
    skipped: linearPaths(spec).filter((path) => {
      const older = (spec.tensors.olderPrefixes ?? []).flatMap(([ours, theirs]) =>
        path.startsWith(ours) ? [theirs + path.slice(ours.length)] : [],
      );
      return [path, ...older].some((own) => matchers.some((matches) => matches(own)));
    }),
  };
}

/** As transformers 5.17 takes a name: an expression for how paths begin, or their end (`should_convert_module`). */
function matcher(name: string): (path: string) => boolean {
  let begins = (path: string) => path.startsWith(name);
  try {
    begins = pythonPattern(`(?:${name}).*`);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
  }
  return (path) => path.endsWith(name) || begins(path);
}

/** Reads a model folder's config.json. Throws as {@link plannedLinears}, or FileMissingError. */
export async function readPlannedLinears(folder: Folder, spec: ModelSpec): Promise<PlannedLinears | null> {
  return plannedLinears(await readConfigJson(folder), spec);
}

/**
 * Throws {@link QuantizationMismatchError} where config.json says that linears are in 4 bits and none is, or the contrary.
 * Which of them are, the tensors decide.
 */
export function checkPlannedLinears(
  planned: PlannedLinears | null,
  spec: ModelSpec,
  source: { quantized?(name: string): unknown },
): void {
  const found = linearPaths(spec).find((path) => source.quantized?.(`${path}.weight`));
  if (planned && found === undefined) {
    throw new QuantizationMismatchError(
      'config.json has a quantization_config (bitsandbytes, 4 bit), but no linear of the weights has a quant_state: none ' +
        'is in 4 bits. Download the folder again, or choose the same model in 16 bit, which is quantized to 4 bit here.',
    );
  }
  if (!planned && found !== undefined) {
    throw new QuantizationMismatchError(
      `${found} is in 4 bits, but config.json has no quantization_config: it does not belong to these weights. Download ` +
        'the folder again, with the config.json of the model in 4 bits.',
    );
  }
}
