/**
 * config.json → {@link ModelSpec}. Each architecture has a parser in its own file; adding one adds a line here.
 */
import { ConfigReader, isRecord, ModelConfigError } from './config_reader.ts';
import { readJsonFile } from './json_file.ts';
import { refuseQuantized } from './model_config_common.ts';
import { parseGemma2, parseGemma3, parseGemma3Text } from './model_config_gemma.ts';
import { parseLlama } from './model_config_llama.ts';
import { parseMistral } from './model_config_mistral.ts';
import { parsePhi3 } from './model_config_phi3.ts';
import { parseQwen2 } from './model_config_qwen2.ts';
import { parseQwen3 } from './model_config_qwen3.ts';
import { parseSmolLm3 } from './model_config_smollm3.ts';
import type { ModelSpec } from './model_spec.ts';
import type { Folder } from './range_source.ts';

const PARSERS: ReadonlyMap<string, (config: ConfigReader) => ModelSpec> = new Map([
  ['llama', parseLlama],
  ['mistral', parseMistral],
  ['qwen2', parseQwen2],
  ['qwen3', parseQwen3],
  ['gemma2', parseGemma2],
  ['gemma3', parseGemma3],
  ['gemma3_text', parseGemma3Text],
  ['phi3', parsePhi3],
  ['smollm3', parseSmolLm3],
]);

/** The `model_type`s that can be trained, sorted. */
export const SUPPORTED_MODEL_TYPES: readonly string[] = [...PARSERS.keys()].sort();

export class UnknownArchitectureError extends ModelConfigError {
  override name = 'UnknownArchitectureError';
  readonly modelType: string;
  constructor(modelType: string) {
    const shown = JSON.stringify(modelType.slice(0, 80));
    super(
      'model_type',
      `the architecture ${shown} is not supported; supported are ${SUPPORTED_MODEL_TYPES.join(', ')}`,
      'Choose a model of one of these.',
    );
    this.modelType = modelType;
  }
}

/** Bytes. */
const CONFIG_CAP = 10_000_000;

/**
 * Checks a parsed config.json and turns it into a spec. Throws {@link UnknownArchitectureError} for a `model_type`
 * without a parser, {@link ModelConfigError} naming the field for anything else that is wrong.
 */
export function parseModelConfig(json: unknown): ModelSpec {
  if (!isRecord(json)) throw new ModelConfigError('the file', 'it is not a JSON object');
  const config = new ConfigReader(json);
  const modelType = config.text('model_type');
  const parse = PARSERS.get(modelType);
  if (parse === undefined) throw new UnknownArchitectureError(modelType);
  refuseQuantized(config);
  return parse(config);
}

/** Reads and parses a model folder's config.json. Throws as {@link parseModelConfig}, or FileMissingError. */
export async function readModelConfig(folder: Folder): Promise<ModelSpec> {
  return parseModelConfig(await readConfigJson(folder));
}

/** Throws {@link ModelConfigError} for what is no JSON, or FileMissingError. */
export function readConfigJson(folder: Folder): Promise<unknown> {
  return readJsonFile(folder, 'config.json', CONFIG_CAP, JSON.parse, (problem) => {
    throw new ModelConfigError(folder.name, problem);
  });
}
