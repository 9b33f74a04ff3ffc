import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LoraSettings } from './lora.ts';
import { parseModelConfig } from './model_config.ts';
import {
  AdapterShapeError,
  type AdapterTensor,
  checkAdapter,
  continuedLora,
  expectedAdapterTensors,
  readPeftAdapter,
  writePeftAdapter,
} from './peft.ts';
import { AdapterError } from './peft_config.ts';
import { SafetensorsError } from './safetensors.ts';
import { memoryFolder, rawSafetensors } from './testing.ts';

const spec = parseModelConfig({
  model_type: 'llama',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 10,
});
const lora: LoraSettings & { use_dora?: boolean } = {
  r: 2,
  lora_alpha: 4,
  use_rslora: false,
  target_modules: ['q_proj', 'down_proj'],
};
const config = { ...lora, base_model_name_or_path: 'org/model' };
const Q = 'model.layers.0.self_attn.q_proj';

function makeTensors(settings = lora): Map<string, AdapterTensor> {
  let next = 0;
  return new Map(
    expectedAdapterTensors(spec, settings).map(({ key, shape }) => [
      key,
      { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => next++ / 7) },
    ]),
  );
}

/** What writePeftAdapter makes, as a folder. */
function folderOf(
  tensors: ReadonlyMap<string, AdapterTensor>,
  settings: Parameters<typeof writePeftAdapter>[0]['config'] = config,
) {
  const files = writePeftAdapter({ tensors, config: settings });
  return memoryFolder('adapter', Object.fromEntries(files.map(({ path, bytes }) => [path, bytes])));
}

/** An adapter folder with raw tensors: name → dtype and shape, data all zero unless given. */
function rawFolder(tensors: Record<string, [string, number[]]>, data?: Uint8Array, settings: object = config) {
  let offset = 0;
  const header: Record<string, unknown> = {};
  for (const [name, [dtype, shape]] of Object.entries(tensors)) {
    const bytes = shape.reduce((product, dimension) => product * dimension, dtype === 'F32' ? 4 : 2);
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  return memoryFolder('adapter', {
    'adapter_config.json': JSON.stringify({ peft_type: 'LORA', ...settings }),
    'adapter_model.safetensors': rawSafetensors(header, data ?? offset),
  });
}
const keyA = `base_model.model.${Q}.lora_A.weight`;
const keyB = `base_model.model.${Q}.lora_B.weight`;

describe('readPeftAdapter', () => {
  test('what writePeftAdapter wrote comes back equal', async () => {
    const tensors = makeTensors();
    const adapter = await readPeftAdapter(folderOf(tensors));
    expect(new Map([...adapter.tensors].sort())).toEqual(new Map([...tensors].sort()));
    expect(adapter.config).toMatchObject(config);
    expect(() => checkAdapter(adapter, spec, lora)).not.toThrow();
  });

  test('DoRA with ranks of its own: what was written comes back, and a run goes on with the same settings', async () => {
    const settings = { ...lora, use_dora: true, rank_pattern: { 'layers.1.*': 3 }, alpha_pattern: { down_proj: 1 } };
    const tensors = makeTensors(settings);
    expect(tensors.get('model.layers.1.mlp.down_proj.lora_A')?.shape).toEqual([3, 12]);
    expect(tensors.get(`${Q}.lora_magnitude_vector`)?.shape).toEqual([8]);
    const adapter = await readPeftAdapter(folderOf(tensors, { ...settings, base_model_name_or_path: 'org/model' }));
    expect(new Map([...adapter.tensors].sort())).toEqual(new Map([...tensors].sort()));
    expect(continuedLora(adapter)).toEqual(settings);
    expect(() => checkAdapter(adapter, spec, continuedLora(adapter))).not.toThrow();
    expect(() => checkAdapter(adapter, spec, { ...settings, use_dora: false })).toThrow(
      /it is DoRA, but the run is plain/,
    );
    expect(() => checkAdapter(adapter, spec, { ...settings, alpha_pattern: {} })).toThrow(/down_proj was trained with/);
    const incomplete = new Map([...tensors].filter(([key]) => !key.endsWith(`${Q}.lora_magnitude_vector`)));
    await expect(readPeftAdapter(folderOf(incomplete, { ...config, ...settings }))).rejects.toThrow(
      /but not .*q_proj\.lora_magnitude_vector/,
    );
    await expect(readPeftAdapter(folderOf(tensors, { ...config, ...settings, use_dora: false }))).rejects.toThrow(
      /use_dora is false/,
    );
  });

  test('a run that goes on from an adapter adapts what it has tensors for', async () => {
    const one = new Map([...makeTensors()].filter(([key]) => key.startsWith(Q)));
    const written = { ...config, target_modules: ['q_proj'], layers_to_transform: [0], rank_pattern: { up_proj: 9 } };
    const adapter = await readPeftAdapter(folderOf(one, written));
    expect(continuedLora(adapter)).toMatchObject({ target_modules: [Q], rank_pattern: {} });
    expect(() => checkAdapter(adapter, spec, continuedLora(adapter))).not.toThrow();
    expect(() => checkAdapter(adapter, spec, { ...lora, target_modules: ['q_proj'] })).toThrow(
      /layers\.1.* is missing/,
    );
  });

  test('round trip of any values', async () => {
    const bits = fc.float({ noNaN: true, noDefaultInfinity: true });
    await fc.assert(
      fc.asyncProperty(fc.array(bits, { minLength: 16, maxLength: 16 }), async (values) => {
        const tensors = new Map([
          [`${Q}.lora_A`, { shape: [2, 8], data: Float32Array.from(values) }],
          [`${Q}.lora_B`, { shape: [8, 2], data: Float32Array.from(values) }],
        ]);
        expect((await readPeftAdapter(folderOf(tensors))).tensors).toEqual(tensors);
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ['F16', 0x3c00, 1],
    ['BF16', 0x3f80, 1],
  ])('widens %s', async (dtype, one, expected) => {
    const data = new Uint8Array(new Uint16Array(32).fill(one).buffer);
    const folder = rawFolder({ [keyA]: [dtype, [2, 8]], [keyB]: [dtype, [8, 2]] }, data);
    const { tensors } = await readPeftAdapter(folder);
    expect(tensors.get(`${Q}.lora_A`)).toEqual({ shape: [2, 8], data: new Float32Array(16).fill(expected) });
  });

  test.each<[string, Record<string, [string, number[]]>, RegExp]>([
    ['A without B', { [keyA]: ['F32', [2, 8]] }, /has .*q_proj\.lora_A but not .*q_proj\.lora_B/],
    ['B without A', { [keyB]: ['F32', [8, 2]] }, /lora_B but not .*lora_A/],
    ['no tensors', {}, /no tensors/],
    ['another prefix', { [`${Q}.lora_A.weight`]: ['F32', [2, 8]] }, /unknown tensor.*keys are base_model\.model\./],
    ['a name of its own', { [`base_model.model.${Q}.lora_A.default.weight`]: ['F32', [2, 8]] }, /unknown tensor/],
    ['a bias', { [`base_model.model.${Q}.lora_B.bias`]: ['F32', [8]] }, /unknown tensor/],
    ['an embedding', { 'base_model.model.model.embed_tokens.lora_embedding_A': ['F32', [2, 10]] }, /embeddings/],
    ['a magnitude alone', { [`base_model.model.${Q}.lora_magnitude_vector`]: ['F32', [8]] }, /they only work together/],
    ['integers', { [keyA]: ['I16', [2, 8]], [keyB]: ['F32', [8, 2]] }, /dtype I16/],
    ['a rank other than r', { [keyA]: ['F32', [3, 8]], [keyB]: ['F32', [8, 3]] }, /says \[2, in\], found \[3, 8\]/],
    ['one rank in A, another in B', { [keyA]: ['F32', [2, 8]], [keyB]: ['F32', [8, 3]] }, /\[out, 2\], found \[8, 3\]/],
    ['a vector', { [keyA]: ['F32', [16]], [keyB]: ['F32', [8, 2]] }, /found \[16\]/],
  ])('refuses %s', async (_, tensors, message) => {
    await expect(readPeftAdapter(rawFolder(tensors))).rejects.toThrow(AdapterError);
    await expect(readPeftAdapter(rawFolder(tensors))).rejects.toThrow(message);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('names the tensor that has %d', async (bad) => {
    const tensors = makeTensors();
    tensors.get(`${Q}.lora_B`)?.data.fill(bad, 3, 4);
    await expect(readPeftAdapter(folderOf(tensors))).rejects.toThrow(/q_proj\.lora_B\.weight has a value that is NaN/);
  });

  test('refuses files that are missing, damaged or of another kind', async () => {
    const read = (files: Record<string, string | Uint8Array>) => readPeftAdapter(memoryFolder('a', files));
    const json = JSON.stringify({ peft_type: 'LORA', ...config });
    await expect(read({})).rejects.toThrow(/no file adapter_config\.json/);
    await expect(read({ 'adapter_config.json': '{' })).rejects.toThrow(AdapterError);
    await expect(read({ 'adapter_config.json': '[]' })).rejects.toThrow(/not a JSON object/);
    await expect(read({ 'adapter_config.json': json })).rejects.toThrow(/no file adapter_model\.safetensors/);
    await expect(read({ 'adapter_config.json': json, 'adapter_model.bin': '' })).rejects.toThrow(/pickle/);
    const broken = { 'adapter_config.json': json, 'adapter_model.safetensors': 'version https://git-lfs…' };
    await expect(read(broken)).rejects.toThrow(SafetensorsError);
  });
});

describe('checkAdapter', () => {
  const read = async (change: (tensors: Map<string, AdapterTensor>) => void, settings = config) => {
    const tensors = makeTensors();
    change(tensors);
    return readPeftAdapter(folderOf(tensors, settings));
  };
  const zeros = (...shape: [number, number]) => ({ shape, data: new Float32Array(shape[0] * shape[1]) });

  test('refuses a tensor of another shape, saying both', async () => {
    const adapter = await read((tensors) => tensors.set(`${Q}.lora_A`, zeros(2, 9)));
    expect(() => checkAdapter(adapter, spec, lora)).toThrow(AdapterShapeError);
    expect(() => checkAdapter(adapter, spec, lora)).toThrow(
      `${Q}.lora_A has the wrong shape: expected [2, 8], found [2, 9]`,
    );
  });

  test('refuses another r, saying both shapes', async () => {
    const adapter = await read(() => {});
    expect(() => checkAdapter(adapter, spec, { ...lora, r: 4 })).toThrow(/expected \[4, 8\], found \[2, 8\]/);
  });

  test('refuses missing modules', async () => {
    const adapter = await read(() => {});
    const check = () => checkAdapter(adapter, spec, { ...lora, target_modules: 'all-linear' });
    expect(check).toThrow(AdapterShapeError);
    expect(check).toThrow(/layers\.0\.self_attn\.k_proj\.lora_A is missing; expected with shape \[2, 8\]/);
  });

  test('refuses modules that the run does not train, and layers that the model does not have', async () => {
    const adapter = await read(() => {});
    expect(() => checkAdapter(adapter, spec, { ...lora, target_modules: ['q_proj'] })).toThrow(
      /down_proj\.lora_A with shape \[2, 12\] is expected nowhere/,
    );
    const deeper = await read((tensors) => {
      tensors.set('model.layers.2.self_attn.q_proj.lora_A', zeros(2, 8));
      tensors.set('model.layers.2.self_attn.q_proj.lora_B', zeros(8, 2));
    });
    expect(() => checkAdapter(deeper, spec, lora)).toThrow(/layers\.2\.self_attn/);
  });

  test('refuses a scale that would change; accepts another way to the same one', async () => {
    const adapter = await read(() => {});
    expect(() => checkAdapter(adapter, spec, { ...lora, lora_alpha: 8 })).toThrow(AdapterError);
    expect(() => checkAdapter(adapter, spec, { ...lora, lora_alpha: 8 })).toThrow(/scale 2 .*but the run has 4/);
    expect(() => checkAdapter(adapter, spec, { ...lora, use_rslora: true })).toThrow(
      /lora_alpha, use_rslora and alpha_pattern/,
    );
    expect(() =>
      checkAdapter(adapter, spec, { ...lora, target_modules: ['down_proj', 'self_attn.q_proj'] }),
    ).not.toThrow();
  });
});

describe('writePeftAdapter', () => {
  test('writes the two files, keys and metadata of PEFT', () => {
    const files = writePeftAdapter({ tensors: makeTensors(), config });
    expect(files.map(({ path }) => path)).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    const model = new TextDecoder('latin1').decode(files[1]?.bytes);
    expect(model).toContain(
      '{"__metadata__":{"format":"pt"},"base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"',
    );
  });

  test('writes all-linear out as the modules there are', () => {
    const settings = { ...config, target_modules: 'all-linear' as const };
    const [json] = writePeftAdapter({ tensors: makeTensors(), config: settings });
    expect(JSON.parse(new TextDecoder().decode(json?.bytes)).target_modules).toEqual(['q_proj', 'down_proj']);
  });

  test('refuses a key that is no adapter’s', () => {
    const tensors = new Map([['model.norm.weight', { shape: [1], data: new Float32Array(1) }]]);
    expect(() => writePeftAdapter({ tensors, config })).toThrow(RangeError);
  });
});
