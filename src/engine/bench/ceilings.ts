/**
 * What a device can do at best, measured: the scale for everything else. The shaders are here and not below shaders/,
 * where every file is a kernel with a reference and mutants; these compute nothing that anybody needs.
 */
import type { Gpu } from '../device/gpu.ts';
import { PassTimestamps } from '../plan/timestamps.ts';
import { type Summary, scaled, summarize } from './statistics.ts';

export interface Ceilings {
  /** f32 multiply-adds in registers, TFLOP/s. */
  readonly fma: Summary;
  /** Read and written by a copy from buffer to buffer, GB/s (10⁹). */
  readonly copy: Summary;
  /** An empty dispatch in a long pass, microseconds: on the GPU (null without timestamps), by the clock, … */
  readonly dispatchGpu: Summary | null;
  readonly dispatchWall: Summary;
  /** … and of the CPU to encode it, with pipeline and bind group set each time, and without. */
  readonly encode: Summary;
  readonly encodeBare: Summary;
  /** Subgroup matrices, f16 × f16 → f32, TFLOP/s; null where the device has none. */
  readonly matrix: Summary | { readonly error: string } | null;
}

const SAMPLES = 7;
const LANES = 256;
const MOST_GROUPS = 65535;

/** Milliseconds a sample takes: long enough for timestamps that a page rounds to 0.1 ms. */
const sampleMs = (gpu: Gpu) => (gpu.capabilities.software ? 10 : 20);

type Work = (pass: GPUComputePassEncoder) => void;

/** One pass of one submit: milliseconds on the GPU, by the clock, and of the CPU to encode. */
async function timed(gpu: Gpu, work: Work): Promise<{ gpu: number | null; wall: number; encode: number }> {
  const { device } = gpu;
  const timestamps = device.features.has('timestamp-query') ? new PassTimestamps(gpu, 1) : null;
  try {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass(timestamps ? { timestampWrites: timestamps.writes(0) } : {});
    const started = performance.now();
    work(pass);
    const encode = performance.now() - started;
    pass.end();
    const commands = encoder.finish();
    const submitted = performance.now();
    device.queue.submit([commands]);
    await device.queue.onSubmittedWorkDone();
    const wall = performance.now() - submitted;
    const spans = timestamps ? await timestamps.read() : null;
    return { gpu: spans ? spans[0].end - spans[0].begin : null, wall, encode };
  } finally {
    timestamps?.dispose();
  }
}

/** Milliseconds of `repeats` dispatches of `groups` workgroups, on the GPU where it tells. */
async function dispatchMs(gpu: Gpu, bind: Work, groups: number, repeats: number): Promise<number> {
  const time = await timed(gpu, (pass) => {
    bind(pass);
    for (let i = 0; i < repeats; i++) pass.dispatchWorkgroups(groups);
  });
  return Math.max(1e-4, time.gpu || time.wall);
}

const MOST_REPEATS = 8192;

/** `work` a dispatch over its time, with as many repeats a sample as make it long enough. */
async function measureRate(gpu: Gpu, bind: Work, groups: number, work: number): Promise<Summary> {
  let repeats = 1;
  let milliseconds = await dispatchMs(gpu, bind, groups, repeats);
  while (milliseconds < sampleMs(gpu) / 2 && repeats < MOST_REPEATS) {
    repeats *= 4;
    milliseconds = await dispatchMs(gpu, bind, groups, repeats);
  }
  repeats = Math.max(1, Math.min(MOST_REPEATS, Math.ceil((repeats * sampleMs(gpu)) / milliseconds)));
  const rates: number[] = [];
  for (let i = 0; i < SAMPLES; i++) rates.push((work * repeats) / (await dispatchMs(gpu, bind, groups, repeats)));
  return summarize(rates);
}

/** A compute pipeline over storage buffers and one uniform of four numbers, made and freed for one measurement. */
async function withPipeline<T>(
  gpu: Gpu,
  code: string,
  buffers: readonly { label: string; size: number }[],
  uniform: Float32Array<ArrayBuffer>,
  use: (bind: Work) => Promise<T>,
): Promise<T> {
  const { device, ledger } = gpu;
  const made: GPUBuffer[] = [];
  const create = (label: string, size: number, usage: GPUBufferUsageFlags) => {
    const buffer = ledger.create({ label, size, usage: usage | GPUBufferUsage.COPY_DST, category: 'activations' });
    made.push(buffer);
    return buffer;
  };
  try {
    const module = device.createShaderModule({ code });
    const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
    const storage = buffers.map(({ label, size }) => create(label, size, GPUBufferUsage.STORAGE));
    const numbers = create('bench numbers', 16, GPUBufferUsage.UNIFORM);
    device.queue.writeBuffer(numbers, 0, uniform);
    const bindGroup = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [numbers, ...storage].map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    return await use((pass) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
    });
  } finally {
    for (const buffer of made) ledger.destroy(buffer);
  }
}

const FMA_VECTORS = 8;
const FMA_UNROLL = 8;
const FMA_LOOPS = 64;
/** 4 lanes a vector, 2 operations each. */
const FMA_FLOPS = FMA_VECTORS * FMA_UNROLL * FMA_LOOPS * 4 * 2;

const lines = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');

/** Named accumulators in a loop that is written out: what a compiler keeps in registers. */
const fmaShader = `
@group(0) @binding(0) var<uniform> numbers: vec4<f32>;
@group(0) @binding(1) var<storage, read_write> sink: array<f32>;
@compute @workgroup_size(${LANES}) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let m = vec4<f32>(numbers.x);
  let b = vec4<f32>(numbers.y);
  ${lines(FMA_VECTORS, (i) => `var a${i} = vec4<f32>(f32(id.x & 7u) + ${i}.0, 1.0, 2.0, 3.0);`)}
  for (var i = 0; i < ${FMA_LOOPS}; i++) {
    ${lines(FMA_UNROLL, () => lines(FMA_VECTORS, (i) => `a${i} = fma(a${i}, m, b);`))}
  }
  let sum = ${lines(FMA_VECTORS, (i) => `a${i}`).replaceAll('\n', ' + ')};
  // Never true, which the compiler cannot know.
  if (sum.x + sum.y + sum.z + sum.w < -1e30) { sink[0] = sum.x; }
}`;

const withFma = <T>(gpu: Gpu, use: (bind: Work) => Promise<T>): Promise<T> =>
  withPipeline(gpu, fmaShader, [{ label: 'sink', size: 4 }], Float32Array.of(0.999, 0.001, 0, 0), use);

/** Workgroups that fill the device several times over. */
const fmaGroups = (gpu: Gpu) => (gpu.capabilities.software ? 4 : 8192);
const fmaWork = (groups: number) => (groups * LANES * FMA_FLOPS) / 1e9;

/** Multiply-adds in registers, TFLOP/s. */
const measureFma = (gpu: Gpu): Promise<Summary> =>
  withFma(gpu, (bind) => measureRate(gpu, bind, fmaGroups(gpu), fmaWork(fmaGroups(gpu))));

/** The f32 rate at this moment, TFLOP/s: whether the GPU's clock is where it was when the ceiling was measured. */
export type ClockProbe = () => Promise<number>;

/** Dispatches a look takes: some milliseconds, or nothing would be seen through rounded timestamps. */
const PROBE_REPEATS = 4;

/** `use` gets a probe for as long as it runs. */
export const withClockProbe = <T>(gpu: Gpu, use: (probe: ClockProbe) => Promise<T>): Promise<T> =>
  withFma(gpu, (bind) => {
    const groups = fmaGroups(gpu);
    return use(async () => (PROBE_REPEATS * fmaWork(groups)) / (await dispatchMs(gpu, bind, groups, PROBE_REPEATS)));
  });

/** Vectors an invocation copies. */
const COPY_VECTORS = 4;

const copyShader = `
@group(0) @binding(0) var<uniform> numbers: vec4<f32>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@compute @workgroup_size(${LANES}) fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let stride = groups.x * ${LANES}u;
  ${lines(COPY_VECTORS, (i) => `y[id.x + ${i}u * stride] = x[id.x + ${i}u * stride] + vec4<f32>(numbers.z);`)}
}`;

/** GB/s read and written, over buffers that no cache holds. */
function measureCopy(gpu: Gpu): Promise<Summary> {
  const { software, maxBindingBytes } = gpu.capabilities;
  const wanted = software ? 2 ** 24 : 2 ** 28;
  const groupBytes = LANES * COPY_VECTORS * 16;
  const groups = Math.min(MOST_GROUPS, Math.floor(Math.min(wanted, maxBindingBytes) / groupBytes));
  const size = groups * groupBytes;
  const buffers = ['copied', 'copy'].map((label) => ({ label, size }));
  return withPipeline(gpu, copyShader, buffers, new Float32Array(4), (bind) =>
    measureRate(gpu, bind, groups, (2 * size) / 1e6),
  );
}

const emptyShader = `
@group(0) @binding(0) var<uniform> numbers: vec4<f32>;
@group(0) @binding(1) var<storage, read_write> sink: array<f32>;
@compute @workgroup_size(1) fn main() { if (numbers.x < -1e30) { sink[0] = 1.0; } }`;

/** Dispatches in a pass: as many as a training step of a small model has, where that does not take long. */
const emptyDispatches = (gpu: Gpu) => (gpu.capabilities.software ? 200 : 2000);

async function measureDispatches(
  gpu: Gpu,
): Promise<Pick<Ceilings, 'dispatchGpu' | 'dispatchWall' | 'encode' | 'encodeBare'>> {
  const count = emptyDispatches(gpu);
  return withPipeline(gpu, emptyShader, [{ label: 'sink', size: 4 }], new Float32Array(4), async (bind) => {
    const full: Work = (pass) => {
      for (let i = 0; i < count; i++) {
        bind(pass);
        pass.dispatchWorkgroups(1);
      }
    };
    const bare: Work = (pass) => {
      bind(pass);
      for (let i = 0; i < count; i++) pass.dispatchWorkgroups(1);
    };
    await timed(gpu, full);
    const [fulls, bares] = [[], []] as Awaited<ReturnType<typeof timed>>[][];
    for (let i = 0; i < SAMPLES; i++) {
      fulls.push(await timed(gpu, full));
      bares.push(await timed(gpu, bare));
    }
    const each = (values: readonly number[]) => scaled(summarize(values), 1e3 / count);
    const onGpu = fulls.map((one) => one.gpu);
    return {
      dispatchGpu: onGpu.every((one) => one !== null) ? each(onGpu) : null,
      dispatchWall: each(fulls.map(({ wall }) => wall)),
      encode: each(fulls.map((one) => one.encode)),
      encodeBare: each(bares.map((one) => one.encode)),
    };
  });
}

const MATRIX_FEATURE = 'chromium-experimental-subgroup-matrix';
const MATRIX_LOOPS = 256;
const MATRIX_TILES = 4;
const MATRIX_LANES = 128;
const MATRIX_GROUPS = 4096;

/** How a build of Dawn spells load and store: the layout is a template argument in newer ones, a flag in older ones. */
const MATRIX_SPELLINGS = [
  { load: true, store: true },
  { load: true, store: false },
  { load: false, store: false },
] as const;

/** 4 × 4 accumulators of M×N a subgroup, operands loaded once. */
function matrixShader(
  { M, N, K }: { M: number; N: number; K: number },
  layoutIsTemplate: (typeof MATRIX_SPELLINGS)[number],
): string {
  const load = (type: string, at: number, stride: number) =>
    layoutIsTemplate.load
      ? `subgroupMatrixLoad<${type}, row_major>(&operands, ${at}u, ${stride}u)`
      : `subgroupMatrixLoad<${type}>(&operands, ${at}u, false, ${stride}u)`;
  const store = (at: number, value: string) =>
    layoutIsTemplate.store
      ? `subgroupMatrixStore<row_major>(&sink, ${at}u, ${value}, ${N}u)`
      : `subgroupMatrixStore(&sink, ${at}u, ${value}, false, ${N}u)`;
  const left = `subgroup_matrix_left<f16, ${K}, ${M}>`;
  const right = `subgroup_matrix_right<f16, ${N}, ${K}>`;
  const tiles = Array.from({ length: MATRIX_TILES ** 2 }, (_, i) => [Math.floor(i / MATRIX_TILES), i % MATRIX_TILES]);
  return `
enable f16;
enable chromium_experimental_subgroup_matrix;
@group(0) @binding(0) var<uniform> numbers: vec4<f32>;
@group(0) @binding(1) var<storage, read_write> operands: array<f16>;
@group(0) @binding(2) var<storage, read_write> sink: array<f32>;
@compute @workgroup_size(${MATRIX_LANES}) fn main() {
  ${lines(MATRIX_TILES, (i) => `let a${i} = ${load(left, i * M * K, K)};\nlet b${i} = ${load(right, i * K * N, N)};`)}
  ${tiles.map(([i, j]) => `var c${i}_${j} = subgroup_matrix_result<f32, ${N}, ${M}>(numbers.z);`).join('\n')}
  for (var n = 0; n < ${MATRIX_LOOPS}; n++) {
    ${tiles.map(([i, j]) => `c${i}_${j} = subgroupMatrixMultiplyAccumulate(a${i}, b${j}, c${i}_${j});`).join('\n')}
  }
  ${tiles.map(([i, j], at) => `${store(at * M * N, `c${i}_${j}`)};`).join('\n')}
}`;
}

/** Never throws: the feature is an experiment, and its builtins change. */
async function measureMatrix(gpu: Gpu): Promise<Ceilings['matrix']> {
  const { enabled, subgroupMatrixConfigs, subgroupSize } = gpu.capabilities;
  if (!enabled.includes(MATRIX_FEATURE) || !enabled.includes('shader-f16')) return null;
  const [config] = subgroupMatrixConfigs
    .filter(({ componentType, resultComponentType }) => componentType === 'f16' && resultComponentType === 'f32')
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  if (!config) return null;
  const { M, N, K } = config;
  const buffers = [
    { label: 'operands', size: MATRIX_TILES * Math.max(M, N) * K * 2 },
    { label: 'sink', size: MATRIX_TILES ** 2 * M * N * 4 },
  ];
  const subgroups = (MATRIX_GROUPS * MATRIX_LANES) / (subgroupSize ?? 32);
  const work = (subgroups * MATRIX_LOOPS * MATRIX_TILES ** 2 * 2 * M * N * K) / 1e9;
  const errors: string[] = [];
  for (const spelling of MATRIX_SPELLINGS) {
    gpu.device.pushErrorScope('validation');
    const code = matrixShader(config, spelling);
    const result = await withPipeline(gpu, code, buffers, new Float32Array(4), (bind) =>
      measureRate(gpu, bind, MATRIX_GROUPS, work),
    ).catch((error: unknown) => {
      errors.push(String(error));
      return null;
    });
    const invalid = await gpu.device.popErrorScope();
    if (result && !invalid) return result;
    if (invalid) errors.push(invalid.message);
  }
  return { error: errors.join('; ').slice(0, 500) };
}

/** Measures everything, in a second or two on a GPU. */
export async function measureCeilings(gpu: Gpu): Promise<Ceilings> {
  // Twice: the first brings a GPU's clock up.
  if (!gpu.capabilities.software) await measureFma(gpu);
  const fma = await measureFma(gpu);
  const copy = await measureCopy(gpu);
  return { fma, copy, ...(await measureDispatches(gpu)), matrix: await measureMatrix(gpu) };
}
