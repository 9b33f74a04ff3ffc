/** Reads what bitsandbytes wrote (e2e/golden/*-bnb-*), and refuses it when it is damaged. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CheckpointShapeError, checkCheckpoint } from './check_checkpoint.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { parseModelConfig } from './model_config.ts';
import { SafetensorsError } from './safetensors.ts';
import { memoryFolder, rawSafetensors } from './testing.ts';

const golden = join(import.meta.dirname, '../../e2e/golden');
const open = (name: string) => {
  const read = (file: string) => readFileSync(join(golden, name, 'model', file));
  const folder = memoryFolder(name, { 'model.safetensors': read('model.safetensors') });
  return { checkpoint: openCheckpoint(folder), config: JSON.parse(read('config.json').toString()) };
};
const NAME = 'model.layers.0.mlp.down_proj.weight';
const tablesOf = async (checkpoint: Checkpoint) => {
  const floats = async (key: string, count: number) =>
    new Float32Array(
      (await checkpoint.tensors.get(key)!.file.source.read(...rangeOf(checkpoint, key, count))).slice().buffer,
    );
  return { codes: await floats(`${NAME}.quant_map`, 16), scales: new Float32Array(256) };
};
const rangeOf = (checkpoint: Checkpoint, key: string, count: number): [number, number] => {
  const { begin } = checkpoint.tensors.get(key)!;
  return [begin, begin + 4 * count];
};

describe('what bitsandbytes wrote', () => {
  test('FP4 without double quantization', async () => {
    const { checkpoint: opening, config } = open('qwen2-bnb-fp4');
    const checkpoint = await opening;
    const spec = parseModelConfig(config);
    expect(() => checkCheckpoint(spec, checkpoint)).not.toThrow();
    expect(checkpoint.quantized(NAME)).toEqual({ quantType: 'fp4', doubleQuant: false, codeBytes: 5120, blocks: 160 });
    expect(checkpoint.quantized('model.norm.weight')).toBeUndefined();
    const { absmax, nested } = await checkpoint.scales(NAME, [64, 160], await tablesOf(checkpoint));
    expect([absmax.byteLength, nested]).toEqual([640, null]);
    await expect(checkpoint.scales(NAME, [160, 64], await tablesOf(checkpoint))).rejects.toThrow(
      /says shape \[64,160\]/,
    );
    const other = { codes: new Float32Array(16).fill(0.5), scales: new Float32Array(256) };
    await expect(checkpoint.scales(NAME, [64, 160], other)).rejects.toThrow(/quant_map is another table/);
  });

  test('NF4 with double quantization', async () => {
    const { checkpoint: opening, config } = open('llama-bnb-nf4');
    const checkpoint = await opening;
    expect(() => checkCheckpoint(parseModelConfig(config), checkpoint)).not.toThrow();
    expect(checkpoint.quantized(NAME)).toEqual({ quantType: 'nf4', doubleQuant: true, codeBytes: 7680, blocks: 240 });
    const tables = await tablesOf(checkpoint);
    await expect(checkpoint.scales(NAME, [96, 160], tables)).rejects.toThrow(/nested_quant_map is another table/);
  });

  test('for another model: refused before any weights are read', async () => {
    const { checkpoint: opening, config } = open('llama-bnb-nf4');
    const checkpoint = await opening;
    const wider = parseModelConfig({ ...config, intermediate_size: 164 });
    expect(() => checkCheckpoint(wider, checkpoint)).toThrow(CheckpointShapeError);
    expect(() => checkCheckpoint(wider, checkpoint)).toThrow(/gate_proj\.weight has 7680 bytes of codes in 240 blocks/);
  });
});

describe('damaged headers', () => {
  const header = (changes: Record<string, { dtype: string; shape: number[] } | null>) => {
    const tensors: Record<string, { dtype: string; shape: number[] } | null> = {
      w: { dtype: 'U8', shape: [128, 1] },
      'w.absmax': { dtype: 'U8', shape: [4] },
      'w.nested_absmax': { dtype: 'F32', shape: [1] },
      'w.quant_state.bitsandbytes__nf4': { dtype: 'U8', shape: [10] },
      ...changes,
    };
    const bytes: Record<string, number> = { U8: 1, F32: 4, F16: 2, BF16: 2 };
    let offset = 0;
    const entries = Object.entries(tensors).flatMap(([name, tensor]) => {
      if (!tensor) return [];
      const begin = offset;
      offset += tensor.shape.reduce((a, b) => a * b, bytes[tensor.dtype]!);
      return [[name, { ...tensor, data_offsets: [begin, offset] }]];
    });
    const file = rawSafetensors(Object.fromEntries(entries), offset);
    return openCheckpoint(memoryFolder('m', { 'model.safetensors': file }));
  };

  test('control: sound, also with other storage than bytes', async () => {
    const sound = { quantType: 'nf4', doubleQuant: true, codeBytes: 128, blocks: 4 };
    expect((await header({})).quantized('w')).toEqual(sound);
    expect((await header({ w: { dtype: 'BF16', shape: [64, 1] } })).quantized('w')).toEqual(sound);
    expect((await header({ w: { dtype: 'F32', shape: [32, 1] } })).quantized('w')).toEqual(sound);
  });

  test.each<[string, Parameters<typeof header>[0], RegExp]>([
    ['no absmax', { 'w.absmax': null }, /w\.absmax is missing/],
    ['absmax in halves', { 'w.absmax': { dtype: 'F16', shape: [4] } }, /dtype F16/],
    ['too few blocks', { 'w.absmax': { dtype: 'U8', shape: [2] } }, /128 bytes of codes, but 2 absmax/],
    ['no second level', { 'w.nested_absmax': null }, /nested_absmax is missing/],
    ['a second level too long', { 'w.nested_absmax': { dtype: 'F32', shape: [2] } }, /not one F32 for each 256/],
  ])('%s', async (_, changes, message) => {
    const checkpoint = await header(changes);
    expect(() => checkpoint.quantized('w')).toThrow(SafetensorsError);
    expect(() => checkpoint.quantized('w')).toThrow(message);
  });

  test('bytes without a quant state are no weight', async () => {
    const checkpoint = await header({ 'w.quant_state.bitsandbytes__nf4': null });
    expect(checkpoint.quantized('w')).toBeUndefined();
    expect(() => checkpoint.info('w')).toThrow(/already quantized/);
  });
});
