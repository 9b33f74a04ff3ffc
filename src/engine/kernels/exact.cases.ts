/** shaders/common/exact.wgsl by itself, over many more values than a quantized tensor would meet. */
import type { Gpu } from '../device/gpu.ts';
import { shaderSource } from './shader_sources.ts';
import { EXACT, type KernelCase, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';

const shaderFiles = ['common/exact.wgsl'];

/** Runs `expression` over rows of four words (`word`); its f32 result's bits for each. */
async function probe(gpu: Gpu, expression: string, rows: Uint32Array<ArrayBuffer>): Promise<Uint32Array> {
  return withBench(gpu, {}, async (bench) => {
    const count = rows.length / 4;
    const source = bench.input('rows', rows);
    const results = bench.output('results', count);
    const code = `
      @group(0) @binding(0) var<storage, read_write> rows: array<vec4<u32>>;
      @group(0) @binding(1) var<storage, read_write> results: array<u32>;
      ${shaderSource('common/exact.wgsl')}
      @compute @workgroup_size(64)
      fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        let word = rows[id.x];
        if (id.x < ${count}u) { results[id.x] = bitcast<u32>(${expression}); }
      }`;
    const { device } = gpu;
    const module = device.createShaderModule({ label: 'exact', code });
    const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
    const bindGroup = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [source, results].map(({ buffer }, binding) => ({ binding, resource: { buffer } })),
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(Math.ceil(count / 64));
    pass.end();
    device.queue.submit([encoder.finish()]);
    return (await bench.words(results)).subarray(0, count);
  });
}

const f32Bits = (x: number) => new Uint32Array(Float32Array.of(x).buffer)[0];
const countWrong = (actual: Uint32Array, expected: readonly number[]) =>
  expected.reduce((wrong, word, i) => (actual[i] === word ? wrong : wrong + 1), 0);

/** (hi·2^32 + lo) / n · 2^scale to the nearest f32, ties to even, by integers. */
function quotientBits(hi: number, lo: number, n: number, scale: number): number {
  const sum = (BigInt(hi) << 32n) + BigInt(lo);
  const wide = sum << 96n;
  const quotient = wide / BigInt(n);
  const sticky = wide % BigInt(n) !== 0n ? 1n : 0n;
  const dropped = BigInt(quotient.toString(2).length - 24);
  const rest = ((quotient & ((1n << dropped) - 1n)) << 1n) | sticky;
  const half = 1n << dropped;
  let mantissa = quotient >> dropped;
  if (rest > half || (rest === half && (mantissa & 1n) === 1n)) mantissa += 1n;
  return f32Bits(Number(mantissa) * 2 ** (Number(dropped) - 96 + scale));
}

export const cases: KernelCase[] = [
  {
    name: 'exact_reciprocal of 200,000 values',
    shaderFiles,
    async run(gpu, seed) {
      const random = new Random(seed);
      const words = Array.from({ length: 200_000 }, (_, i) => {
        const exponent = random.integer(2, 252);
        if (i < 2000) return exponent << 23; // powers of two
        if (i < 4000) return (exponent << 23) + random.integer(1, 40); // just above
        if (i < 6000) return ((exponent + 1) << 23) - random.integer(1, 40); // just below
        return (exponent << 23) | random.integer(0, 2 ** 23);
      });
      const values = new Float32Array(Uint32Array.from(words).buffer);
      const expected = Array.from(values, (x) => f32Bits(1 / x));
      const rows = Uint32Array.from(words.flatMap((word) => [word, 0, 0, 0]));
      const results = await probe(gpu, 'exact_reciprocal(bitcast<f32>(word.x))', rows);
      return { error: countWrong(results, expected), tolerance: EXACT };
    },
  },
  {
    name: 'exact_quotient of 20,000 sums',
    shaderFiles,
    async run(gpu, seed) {
      const random = new Random(seed);
      const inputs = Array.from({ length: 20_000 }, (_, i) => {
        const n = i % 3 === 0 ? 2 ** random.integer(0, 31) : random.word() >>> random.integer(1, 31) || 1;
        const hi = i % 4 === 0 ? 0 : random.word() >>> random.integer(0, 32);
        // Few bits give exact quotients and ties.
        const lo = i % 5 === 0 ? (random.integer(1, 2 ** 26) << random.integer(0, 6)) >>> 0 : random.word();
        return [hi, lo || 1, n, random.integer(-40, 20)] as const;
      });
      const rows = Uint32Array.from(inputs.flatMap((row) => [...row]));
      const results = await probe(gpu, 'exact_quotient(word.x, word.y, word.z, i32(word.w))', rows);
      const expected = inputs.map((row) => quotientBits(...row));
      return { error: countWrong(results, expected), tolerance: EXACT };
    },
  },
];
