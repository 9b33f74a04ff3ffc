import { zipSync } from 'fflate';
import { expect, it } from 'vitest';
import { type AdapterTensor, writePeftAdapter } from '../formats/peft.ts';
import type { StudioEvent } from './studio_protocol.ts';
import { StudioSession } from './studio_session.ts';

/** An adapter for v_proj and down_proj of one layer, whose configuration says this of its modules. */
function adapterFiles(target_modules: unknown): File[] {
  const tensors = new Map<string, AdapterTensor>();
  for (const module of ['self_attn.v_proj', 'mlp.down_proj']) {
    tensors.set(`model.layers.0.${module}.lora_A`, { shape: [1, 2], data: new Float32Array(2) });
    tensors.set(`model.layers.0.${module}.lora_B`, { shape: [2, 1], data: new Float32Array(2) });
  }
  const lora = { r: 1, lora_alpha: 2, use_rslora: false, target_modules: 'all-linear' as const };
  const written = writePeftAdapter({ tensors, config: { ...lora, base_model_name_or_path: null } });
  return written.map(({ path, bytes }) => {
    if (!path.endsWith('.json')) return new File([bytes], path);
    const config = JSON.parse(new TextDecoder().decode(bytes));
    return new File([JSON.stringify({ ...config, target_modules })], path);
  });
}

const PATHS = ['model.layers.0.mlp.down_proj', 'model.layers.0.self_attn.v_proj'];

it.each([
  { target_modules: ['v_proj', 'down_proj'], told: ['v_proj', 'down_proj'] },
  { target_modules: ['self_attn.v_proj', 'mlp.down_proj'], told: ['v_proj', 'down_proj'] },
  // What the tensors are for, in their file's order: not every linear.
  { target_modules: [], told: ['down_proj', 'v_proj'], paths: PATHS },
  { target_modules: null, told: ['down_proj', 'v_proj'], paths: PATHS },
  { target_modules: '.*(v|down)_proj', told: ['down_proj', 'v_proj'], paths: PATHS },
])('tells what an adapter adapts: $target_modules', async ({ target_modules, told, paths = target_modules }) => {
  const events: StudioEvent[] = [];
  const session = new StudioSession((event) => events.push(event), {
    requestGpu: async () => undefined,
    createTemplateWorker: () => ({ post() {}, terminate() {} }),
    createTokenizerWorker: () => ({ post() {}, terminate() {} }),
    cores: 1,
  });
  await session.handle({ type: 'open-adapter', runId: 'a', files: adapterFiles(target_modules) });
  expect(events).toMatchObject([{ type: 'adapter-ready', lora: { target_modules: paths }, modules: told, tensors: 4 }]);
});

it('says of a zip without an adapter what it may be', async () => {
  const events: StudioEvent[] = [];
  const session = new StudioSession((event) => events.push(event), {
    requestGpu: async () => undefined,
    createTemplateWorker: () => ({ post() {}, terminate() {} }),
    createTokenizerWorker: () => ({ post() {}, terminate() {} }),
    cores: 1,
  });
  const zip = (files: Record<string, Uint8Array>) => new File([zipSync(files) as Uint8Array<ArrayBuffer>], 'data.zip');
  await session.handle({ type: 'open-adapter', runId: 'a', files: [zip({ 'rows.jsonl': new Uint8Array(3) })] });
  expect(events).toMatchObject([
    { type: 'failed', name: 'NoAdapterError', message: expect.stringContaining('unpack it and drop its files') },
  ]);
  // The control.
  const written = await Promise.all(
    adapterFiles(['v_proj', 'down_proj']).map(async (file) => [file.name, new Uint8Array(await file.arrayBuffer())]),
  );
  await session.handle({ type: 'open-adapter', runId: 'b', files: [zip(Object.fromEntries(written))] });
  expect(events[1]).toMatchObject({ type: 'adapter-ready', tensors: 4 });
});
