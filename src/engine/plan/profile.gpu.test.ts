import { afterAll, afterEach, expect, test } from 'vitest';
import { type AcquireOptions, acquireGpu, type Gpu } from '../device/gpu.ts';
import { packUniform, STEP_FIELDS, type StepValues, uniformBytes } from '../kernels/kernel.ts';
import { rmsNorm } from '../kernels/rms_norm.ts';
import { swiglu } from '../kernels/swiglu.ts';
import { Arena } from './arena.ts';
import { PlanBuilder } from './plan.ts';
import { bufferTensor } from './tensor.ts';

const TOKENS = 20;
const WIDTH = 16;
const gpus: Gpu[] = [];

afterEach(() => {
  for (const gpu of gpus.splice(0)) {
    gpu.check();
    expect(gpu.ledger.leaks()).toEqual([]);
    gpu.dispose();
  }
});
afterAll(() => expect(gpus).toEqual([]));

/** rms_norm and swiglu in turns, `pairs` of each, as a plan; `use` gets it and everything is freed after. */
async function withPlan(pairs: number, options: AcquireOptions, use: (gpu: Gpu, plan: PlanOf) => Promise<void>) {
  const gpu = await acquireGpu(navigator.gpu, options);
  gpus.push(gpu);
  const buffer = (label: string, size: number, usage: GPUBufferUsageFlags = GPUBufferUsage.STORAGE) =>
    gpu.ledger.create({ label, size, usage: usage | GPUBufferUsage.COPY_DST, category: 'activations' });
  const buffers = [
    buffer('x', TOKENS * WIDTH * 4),
    buffer('weight', WIDTH * 4),
    buffer('step', uniformBytes(STEP_FIELDS), GPUBufferUsage.UNIFORM),
  ];
  const [x, weight] = buffers.map((one) => bufferTensor(one.label, one));
  const data = new DataView(new ArrayBuffer(uniformBytes(STEP_FIELDS)));
  const zeros = Object.fromEntries(Object.keys(STEP_FIELDS).map((name) => [name, 0])) as StepValues;
  packUniform(STEP_FIELDS, { ...zeros, tokens: TOKENS }, data, 0);
  gpu.device.queue.writeBuffer(buffers[2], 0, data.buffer);
  const builder = new PlanBuilder(gpu, TOKENS);
  for (let i = 0; i < pairs; i++) {
    const y = builder.tensor(`normed ${i}`, TOKENS * WIDTH * 4);
    const z = builder.tensor(`activated ${i}`, (TOKENS * WIDTH * 4) / 2);
    rmsNorm(builder, { x, weight: { tensor: weight, at: 0, width: WIDTH, epsilon: 1e-6 }, y });
    swiglu(builder, { activation: 'silu', gateUp: y, y: z, width: WIDTH / 2 });
  }
  const arena = new Arena(gpu.ledger, [builder.layout()]);
  const plan = await builder.finish(arena, buffers[2]);
  await use(gpu, plan);
  plan.dispose();
  arena.dispose();
  for (const one of buffers) gpu.ledger.destroy(one);
}
type PlanOf = Awaited<ReturnType<PlanBuilder['finish']>>;

test.for([
  { by: 'timestamps', options: {}, timestamps: true },
  { by: 'the clock, on a device without timestamps', options: { defaultLimits: true }, timestamps: false },
])('profile names and times every dispatch by $by', async ({ options, timestamps }) => {
  await withPlan(3, options, async (gpu, plan) => {
    expect(gpu.device.features.has('timestamp-query')).toBe(timestamps);
    const times = await plan.profile(TOKENS);
    expect(times.map(({ kernel }) => kernel.name)).toEqual(Array(3).fill(['rms_norm', 'swiglu']).flat());
    expect(times.map(({ flops }) => flops).slice(0, 2)).toEqual([4 * WIDTH * TOKENS, (8 * WIDTH * TOKENS) / 2]);
    for (const { milliseconds } of times) expect(milliseconds).toBeGreaterThanOrEqual(0);
    expect(times.reduce((sum, { milliseconds }) => sum + milliseconds, 0)).toBeGreaterThan(0);
    // A profile is no run.
    expect(plan.dispatchCounts.size).toBe(0);
  });
});

test('profile takes as many query sets as the plan needs, and skips what has nothing to do', async () => {
  await withPlan(1100, {}, async (_, plan) => {
    expect(await plan.profile(TOKENS)).toHaveLength(2200);
    expect(await plan.profile(0)).toEqual([]);
  });
});

test('time measures the plan as a whole', async () => {
  await withPlan(10, {}, async (_, plan) => {
    const { gpu, wall, encode } = await plan.time(TOKENS);
    expect(gpu).toBeGreaterThan(0);
    expect(wall).toBeGreaterThan(0);
    expect(encode).toBeGreaterThanOrEqual(0);
  });
  await withPlan(1, { defaultLimits: true }, async (_, plan) => {
    expect((await plan.time(TOKENS)).gpu).toBeNull();
  });
});
