import { afterAll, afterEach, expect, test } from 'vitest';
import { acquireGpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import { defineKernel, packUniform, STEP_FIELDS, type StepValues, uniformBytes } from '../kernels/kernel.ts';
import { rmsNormReference } from '../kernels/rms_norm.reference.ts';
import { rmsNorm } from '../kernels/rms_norm.ts';
import { overrideShader, shaderSource } from '../kernels/shader_sources.ts';
import { swigluKernel } from '../kernels/swiglu.ts';
import { Random } from '../kernels/testing/random.ts';
import { Arena } from './arena.ts';
import { PlanBuilder } from './plan.ts';
import { bufferTensor, type Tensor, view } from './tensor.ts';

const WIDTH = 16;
const CAPACITY = 40;
const gpu = await acquireGpu(navigator.gpu);
const created: GPUBuffer[] = [];

afterEach(() => {
  for (const buffer of created.splice(0)) gpu.ledger.destroy(buffer);
  expect(gpu.ledger.leaks()).toEqual([]);
  gpu.check();
});
afterAll(() => gpu.dispose());

function buffer(
  label: string,
  data: Float32Array<ArrayBuffer> | DataView<ArrayBuffer>,
  usage = GPUBufferUsage.STORAGE,
) {
  const made = gpu.ledger.create({
    label,
    size: data.byteLength,
    usage: usage | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    category: 'weights',
  });
  created.push(made);
  gpu.device.queue.writeBuffer(made, 0, data);
  return made;
}

function stepBuffer(tokens: number): GPUBuffer {
  const data = new DataView(new ArrayBuffer(uniformBytes(STEP_FIELDS)));
  const zeros = Object.fromEntries(Object.keys(STEP_FIELDS).map((name) => [name, 0])) as StepValues;
  packUniform(STEP_FIELDS, { ...zeros, tokens }, data, 0);
  return buffer('step', data, GPUBufferUsage.UNIFORM);
}

/** `depth` norms in a row: x → t1 → t2 …, each intermediate tensor alive for two dispatches. */
function chain(depth: number) {
  const random = new Random(depth);
  const x = random.normal(CAPACITY * WIDTH);
  const weight = random.normal(WIDTH);
  const plan = new PlanBuilder(gpu, CAPACITY);
  const weightTensor = bufferTensor('weight', buffer('weight', weight));
  let from: Tensor = bufferTensor('x', buffer('x', x));
  const tensors = Array.from({ length: depth }, (_, i) => plan.tensor(`t${i + 1}`, CAPACITY * WIDTH * 4));
  for (const y of tensors) {
    rmsNorm(plan, { x: from, weight: { tensor: weightTensor, at: 0, width: WIDTH, epsilon: 1e-6 }, y });
    from = y;
  }
  let reference: ArrayLike<number> = x;
  for (let i = 0; i < depth; i++) reference = rmsNormReference(reference, weight, 1e-6);
  return { plan, last: tensors[depth - 1], tensors, reference };
}

test('a chain through a shared arena, for several token counts of one plan', async () => {
  const { plan, last, reference } = chain(6);
  plan.keep(last);
  const arena = new Arena(gpu.ledger, [plan.layout()]);
  // Six tensors, but never more than two alive.
  expect(arena.buffers().map(({ size }) => size)).toEqual([2 * CAPACITY * WIDTH * 4]);
  const step = stepBuffer(CAPACITY);
  const made = await plan.finish(arena, step);
  for (const tokens of [CAPACITY, 7, 1, CAPACITY]) {
    gpu.device.queue.writeBuffer(step, 0, Uint32Array.of(tokens));
    for (const { size } of arena.buffers()) {
      gpu.device.queue.writeBuffer(arena.buffers()[0], 0, new Float32Array(size / 4).fill(Number.NaN));
    }
    await made.run(tokens);
    const { buffer: home, offset } = made.locate(last);
    const values = new Float32Array(await readBuffer(gpu, home, offset, tokens * WIDTH * 4));
    values.forEach((value, i) => {
      expect(value).toBeCloseTo(reference[i], 4);
    });
  }
  expect(Object.fromEntries(made.dispatchCounts)).toEqual({ rms_norm: 24 });
  made.dispose();
  arena.dispose();
});

test('a kept tensor is not overwritten, one that is not kept may be', () => {
  const kept = chain(4);
  for (const tensor of kept.tensors) kept.plan.keep(tensor);
  const plain = chain(4);
  const bytes = (plan: PlanBuilder) => [...plan.layout().chunks.values()].reduce((a, b) => a + b);
  expect(bytes(kept.plan)).toBe(4 * CAPACITY * WIDTH * 4);
  expect(bytes(plain.plan)).toBe(2 * CAPACITY * WIDTH * 4);
});

test('reading what nothing has written is refused', () => {
  const plan = new PlanBuilder(gpu, CAPACITY);
  const [x, y] = [plan.tensor('x', 64), plan.tensor('y', 64)];
  const weight = bufferTensor('weight', buffer('weight', new Float32Array(WIDTH)));
  rmsNorm(plan, { x, weight: { tensor: weight, at: 0, width: WIDTH, epsilon: 1e-6 }, y });
  expect(() => plan.layout()).toThrow('rms_norm reads x, which nothing has written');
});

test('a view off the alignment is refused', () => {
  const plan = new PlanBuilder(gpu, CAPACITY);
  const x = plan.tensor('x', 1024);
  const kernel = defineKernel({
    name: 'one',
    shader: 'swiglu.wgsl',
    bindings: { gate_up: { access: 'in', type: 'f32' }, y: { access: 'out', type: 'f32' } },
    params: { width: 'u32' },
    constants: {},
  });
  const dispatch = (offset: number) =>
    plan.dispatch(kernel, {
      bindings: { gate_up: view(x, offset), y: x },
      params: { width: 1 },
      workgroups: () => null,
    });
  expect(() => dispatch(128)).toThrow('not a multiple of 256');
  expect(() => dispatch(256)).not.toThrow();
});

test('16 bits taken for 32 are refused, and the other way round', () => {
  const plan = new PlanBuilder(gpu, CAPACITY);
  const [halves, whole] = [plan.rows('halves', WIDTH, true), plan.rows('whole', WIDTH)];
  expect([halves.bytes, whole.bytes]).toEqual([2 * CAPACITY * WIDTH, 4 * CAPACITY * WIDTH]);
  const weight = { tensor: bufferTensor('weight', buffer('weight', new Float32Array(WIDTH))), at: 0 };
  const norm = { weight: { ...weight, width: WIDTH, epsilon: 1e-6 }, y: whole };
  expect(() => rmsNorm(plan, { ...norm, x: halves })).toThrow('rms_norm takes halves for vec4<f32>, which it is not');
  const kernel = swigluKernel('silu', true, true);
  const options = { params: { width: WIDTH / 4 }, workgroups: () => null };
  expect(() => plan.dispatch(kernel, { ...options, bindings: { gate_up: whole, y: halves } })).toThrow(
    'swiglu takes whole for vec4<f16>, which it is not',
  );
  expect(() => rmsNorm(plan, { ...norm, x: whole, y: halves })).not.toThrow();
});

test('a tensor too large to bind is refused with advice', () => {
  const plan = new PlanBuilder(gpu, CAPACITY);
  const limit = gpu.capabilities.maxBindingBytes;
  expect(() => plan.tensor('logits', limit + 1)).toThrow(/logits needs \d+ bytes .* Try a shorter max_length/);
  expect(plan.tensor('logits', limit).bytes).toBe(limit);
});

test('a shader that does not compile is named, with the line', async () => {
  const restore = overrideShader(
    'rms_norm.wgsl',
    shaderSource('rms_norm.wgsl').replace('let scale =', 'let scale = oops +'),
  );
  gpu.pipelines.clear();
  const { plan } = chain(1);
  const arena = new Arena(gpu.ledger, [plan.layout()]);
  await expect(plan.finish(arena, stepBuffer(1))).rejects.toThrow(/rms_norm .* did not compile: [\s\S]*oops/);
  restore();
  gpu.pipelines.clear();
  arena.dispose();
  expect(() => gpu.check()).toThrow('unresolved value');
  // afterEach asserts that the failed plan left no buffer.
});
