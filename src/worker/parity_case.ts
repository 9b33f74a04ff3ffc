/** What PyTorch got for a golden case: the files below `expected/`. */
import * as v from 'valibot';
import { decodeFloats, isFloatDtype } from '../formats/float_dtypes.ts';
import { type Folder, readText } from '../formats/range_source.ts';
import { readSafetensorsHeader, type SafetensorsTensor } from '../formats/safetensors.ts';

const integers = v.array(v.array(v.number()));
const batchEntries = { input_ids: integers, labels: integers, position_ids: integers, segments: integers };
const expectedSchema = v.object({
  steps: v.array(
    v.object({
      step: v.number(),
      loss: v.number(),
      grad_norm: v.number(),
      learning_rate: v.number(),
      num_tokens: v.number(),
    }),
  ),
  first_micro_batch: v.object(batchEntries),
  probe: v.object({ loss: v.number(), ...batchEntries }),
  examples: v.number(),
  micro_batches_per_epoch: v.number(),
  greedy: v.object({ prompt: v.array(v.number()), continuation: v.array(v.number()) }),
});

export type ExpectedRun = v.InferOutput<typeof expectedSchema>;

/** A variant was forced that this device does not have room or features for. */
export class VariantUnavailableError extends Error {
  override name = 'VariantUnavailableError';
}

export class ParityCaseError extends Error {
  override name = 'ParityCaseError';
}

/** Values by the names that the engine has for them. */
export type NamedFloats = ReadonlyMap<string, Float32Array>;

export interface ParityCase {
  readonly run: ExpectedRun;
  readonly logits: Float32Array;
  readonly gradients: NamedFloats;
  readonly adapter: NamedFloats;
  /** `<module>.packed`, `.absmax`, `.nested_absmax`, `.nested_offset`, as they are in the file. */
  readonly nf4: ReadonlyMap<string, Uint8Array | Float32Array>;
}

const JSON_CAP = 50_000_000;

export async function readParityCase(folder: Folder): Promise<ParityCase> {
  const text = await readText(folder, 'expected/expected.json', JSON_CAP);
  const parsed = v.safeParse(expectedSchema, JSON.parse(text));
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new ParityCaseError(
      `${folder.name}/expected/expected.json: ${v.getDotPath(issue) ?? 'the file'}: ${issue.message}. Make the case again.`,
    );
  }
  const logits = (await readTensors(folder, 'expected/logits.safetensors')).get('logits');
  if (!(logits instanceof Float32Array))
    throw new ParityCaseError(`${folder.name}: expected/logits has no float logits.`);
  return {
    run: parsed.output,
    logits,
    gradients: adapterNames(await readTensors(folder, 'expected/grads.safetensors')),
    adapter: adapterNames(await readTensors(folder, 'expected/adapter_model.safetensors')),
    nf4: await readTensors(folder, 'expected/nf4.safetensors'),
  };
}

async function readTensors(folder: Folder, path: string): Promise<Map<string, Uint8Array | Float32Array>> {
  const { source, tensors } = await readSafetensorsHeader(await folder.open(path));
  const values = new Map<string, Uint8Array | Float32Array>();
  for (const tensor of tensors.values()) {
    values.set(tensor.name, decode(path, tensor, await source.read(tensor.begin, tensor.end)));
  }
  return values;
}

function decode(path: string, { name, dtype }: SafetensorsTensor, bytes: Uint8Array<ArrayBuffer>) {
  if (dtype === 'U8') return bytes;
  if (isFloatDtype(dtype)) return decodeFloats(dtype, bytes);
  throw new ParityCaseError(`${path}: tensor ${name} has the dtype ${dtype}, which no case has. Make the case again.`);
}

/** `base_model.model.<module>.lora_A.weight` → `<module>.lora_A`. */
function adapterNames(tensors: ReadonlyMap<string, Uint8Array | Float32Array>): NamedFloats {
  const named = new Map<string, Float32Array>();
  for (const [key, values] of tensors) {
    if (!(values instanceof Float32Array))
      throw new ParityCaseError(`tensor ${key} is not float. Make the case again.`);
    named.set(key.replace(/^base_model\.model\./, '').replace(/\.weight$/, ''), values);
  }
  return named;
}
