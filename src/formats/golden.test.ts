/** The golden folders that PyTorch, transformers and PEFT wrote are read correctly. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkCheckpoint, expectedTensors } from './check_checkpoint.ts';
import { openCheckpoint } from './checkpoint.ts';
import { decodeFloats } from './float_dtypes.ts';
import { readModelConfig, SUPPORTED_MODEL_TYPES } from './model_config.ts';
import { checkAdapter, expectedAdapterTensors, readPeftAdapter, writePeftAdapter } from './peft.ts';
import type { Folder } from './range_source.ts';
import { parseRunConfig } from './run_config.ts';
import { readSafetensorsHeader } from './safetensors.ts';
import { writeSafetensors } from './safetensors_writer.ts';
import { memoryFolder, memorySource } from './testing.ts';

/** Ours, and those that came with the task where they lie beside the repository. */
const GOLDEN = ['../../e2e/golden', '../../../shared/golden']
  .map((path) => join(import.meta.dirname, path))
  .filter((path) => existsSync(path));

const caseFolder = (name: string) => GOLDEN.map((path) => join(path, name)).find((path) => existsSync(path)) ?? '';
const present = [...new Set(GOLDEN.flatMap((path) => readdirSync(path)))]
  .filter((name) => existsSync(join(caseFolder(name), 'case.json')))
  .sort();

function diskFolder(path: string): Folder {
  const names = readdirSync(path, { withFileTypes: true }).filter((item) => item.isFile());
  return memoryFolder(path, Object.fromEntries(names.map(({ name }) => [name, readFileSync(join(path, name))])));
}

const json = (name: string, ...path: string[]) => JSON.parse(readFileSync(join(caseFolder(name), ...path), 'utf8'));

const supported = present.filter((name) =>
  SUPPORTED_MODEL_TYPES.includes(json(name, 'model', 'config.json').model_type),
);

test('the cases are there', () => {
  expect(supported).toEqual(expect.arrayContaining(['llama-text', 'llama3-rope', 'qwen2-template']));
});

describe.each(supported)('%s', (name) => {
  test('model: config and checkpoint fit, nothing is left over, every value is finite', async () => {
    const folder = diskFolder(join(caseFolder(name), 'model'));
    const spec = await readModelConfig(folder);
    const checkpoint = await openCheckpoint(folder, spec.tensors.olderPrefixes);
    checkCheckpoint(spec, checkpoint);
    // A vision part, older names of what has newer ones, and what lies beside a weight in 4 bits.
    const beside = /^(vision_tower|multi_modal_projector|language_model)\.|\.weight\.[^/]+$/;
    const own = [...checkpoint.tensors.keys()].filter((tensor) => !beside.test(tensor));
    expect(own.sort()).toEqual(
      expectedTensors(spec)
        .map((tensor) => tensor.name)
        .sort(),
    );
    for (const tensor of own) {
      if (checkpoint.quantized(tensor)) continue;
      const info = checkpoint.info(tensor);
      if (info === undefined) throw new Error(`${tensor} has no info`);
      const values = decodeFloats(info.dtype, await checkpoint.read(tensor, 0, info.byteLength));
      expect(values.every(Number.isFinite)).toBe(true);
    }
  });

  test('adapter: reads, fits model and run, and is written back as PEFT wrote it', async () => {
    const spec = await readModelConfig(diskFolder(join(caseFolder(name), 'model')));
    const { lora } = parseRunConfig(json(name, 'case.json'));
    const folder = diskFolder(join(caseFolder(name), 'adapter_init'));
    const adapter = await readPeftAdapter(folder);
    checkAdapter(adapter, spec, lora);
    expect(adapter.tensors.size).toBe(expectedAdapterTensors(spec, lora).length);

    const { target_modules, ...rest } = adapter.config;
    const written = writePeftAdapter({
      tensors: adapter.tensors,
      config: {
        ...rest,
        target_modules: target_modules ?? 'all-linear',
        init_lora_weights: lora.init_lora_weights,
      },
    });
    // Patch releases of PEFT change nothing but the number.
    const config = { ...json(name, 'adapter_init', 'adapter_config.json'), peft_version: '0.21.0' };
    expect(JSON.parse(new TextDecoder().decode(written[0]?.bytes))).toEqual(config);
    const original = readFileSync(join(caseFolder(name), 'adapter_init', 'adapter_model.safetensors'));
    expect(Buffer.compare(Buffer.from(written[1]?.bytes ?? []), original)).toBe(0);
  });
});

describe.each(present)('%s, files of every case', (name) => {
  test.each(['logits', 'grads', 'nf4', 'adapter_model'])('expected/%s.safetensors', async (file) => {
    const bytes = readFileSync(join(caseFolder(name), 'expected', `${file}.safetensors`));
    const source = memorySource(file, bytes);
    const { tensors, metadata } = await readSafetensorsHeader(source);
    expect(tensors.size).toBeGreaterThan(0);
    const all = [...tensors.values()];
    if (!all.every(({ dtype }) => dtype === 'F32')) return;
    // float32 files: our writer gives the reference's bytes.
    const read = await Promise.all(
      all.map(async ({ name: key, shape, begin, end }) => {
        const data = decodeFloats('F32', await source.read(begin, end));
        return [key, { dtype: 'F32' as const, shape, data }] as const;
      }),
    );
    expect(Buffer.compare(Buffer.from(writeSafetensors(new Map(read), metadata)), bytes)).toBe(0);
  });
});
