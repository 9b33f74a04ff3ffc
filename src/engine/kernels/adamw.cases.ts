import { type AdamwOptions, adamwReference, gradNormReference } from './adamw.reference.ts';
import { adamw, gradNorm, gradNormPartials, NORM_SPAN } from './adamw.ts';
import { LOG_FIELDS } from './cross_entropy.ts';
import { EXACT, F32, type KernelCase, placeReference, withBench, worst } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface NormShape {
  /** Elements of each gradient tensor; each adds its own partial sums. */
  readonly tensors: readonly number[];
  readonly maxGradNorm: number;
  readonly deviation?: number;
}

const gradNormCase = ({ tensors, maxGradNorm, deviation = 1 }: NormShape): KernelCase => ({
  name: `grad_norm of ${tensors.join(' + ')}, at most ${maxGradNorm}`,
  shaderFiles: ['grad_norm_partials.wgsl', 'grad_norm.wgsl', 'common/indexing.wgsl', 'common/reduce.wgsl'],
  run: (gpu, seed) =>
    withBench(gpu, { step: { max_grad_norm: maxGradNorm, log_slot: 3 } }, async (bench) => {
      const random = new Random(seed);
      const gradients = tensors.map((count) => random.normal(count, deviation));
      const counts = tensors.map((count) => Math.ceil(count / NORM_SPAN));
      const count = counts.reduce((a, b) => a + b);
      const partials = bench.output('partials', count);
      gradients.forEach((values, i) => {
        gradNormPartials(bench.plan, {
          gradients: bench.input('gradients', values),
          partials,
          elements: values.length,
          firstPartial: counts.slice(0, i).reduce((a, b) => a + b, 0),
        });
      });
      const clip = bench.output('clip', 1);
      const logRing = bench.output('log_ring', LOG_FIELDS * 5);
      gradNorm(bench.plan, { partials, count, clip, logRing });
      await bench.run();
      const all = gradients.flatMap((values) => [...values]);
      const reference = gradNormReference(all, maxGradNorm);
      const spans = gradients.flatMap((values, i) =>
        Array.from({ length: counts[i] }, (_, span) =>
          values.subarray(span * NORM_SPAN, (span + 1) * NORM_SPAN).reduce((sum, g) => sum + g * g, 0),
        ),
      );
      const logged = { width: 1, capacity: 5, stride: LOG_FIELDS, at: LOG_FIELDS * 3 + 2 };
      return {
        error: worst(
          await bench.error(partials, spans),
          await bench.error(clip, [reference.clip]),
          await bench.error(logRing, placeReference(Float64Array.of(reference.norm), logged)),
        ),
        tolerance: F32,
      };
    }),
});

/** One gradient that is no number, in the second of three tensors: no update, and the log says so. */
const notFiniteCase = (value: number): KernelCase => ({
  name: `grad_norm with a gradient of ${value}`,
  shaderFiles: ['grad_norm_partials.wgsl', 'grad_norm.wgsl', 'common/indexing.wgsl', 'common/reduce.wgsl'],
  run: (gpu, seed) =>
    withBench(gpu, { step: { log_slot: 1 } }, async (bench) => {
      const random = new Random(seed);
      const partials = bench.output('partials', 3);
      for (let i = 0; i < 3; i++) {
        const gradients = random.normal(1000);
        if (i === 1) gradients[random.integer(0, 1000)] = value;
        gradNormPartials(bench.plan, {
          gradients: bench.input('gradients', gradients),
          partials,
          elements: 1000,
          firstPartial: i,
        });
      }
      const clip = bench.output('clip', 1);
      const logRing = bench.output('log_ring', LOG_FIELDS * 2);
      gradNorm(bench.plan, { partials, count: 3, clip, logRing });
      await bench.run();
      const [logged] = new Float32Array((await bench.words(logRing)).buffer, (LOG_FIELDS + 2) * 4, 1);
      const error = await bench.error(clip, [-1]);
      return { error: Number.isFinite(logged) ? Number.POSITIVE_INFINITY : error, tolerance: EXACT };
    }),
});

/** A clip coefficient below zero: parameters and moments keep their bits, whatever the gradients are. */
const skippedUpdateCase: KernelCase = {
  name: 'adamw 300, skipped',
  shaderFiles: ['adamw.wgsl', 'common/indexing.wgsl'],
  run: (gpu, seed) =>
    withBench(gpu, { step: { decay: 0.5, step_size: 1 } }, async (bench) => {
      const random = new Random(seed);
      const elements = 300;
      const before = [random.normal(elements), random.normal(elements), random.uniform(elements, 0, 1)];
      const [parameters, moment1, moment2] = before.map((values, i) => bench.inout(`state ${i}`, values));
      adamw(bench.plan, {
        parameters,
        gradients: bench.input('gradients', new Float32Array(elements).fill(Number.NaN)),
        moment1,
        moment2,
        clip: bench.input('clip', Float32Array.of(-1)),
        elements,
      });
      await bench.run();
      let wrong = 0;
      for (const [i, tensor] of [parameters, moment1, moment2].entries()) {
        wrong += await bench.wrongWords(tensor, new Uint32Array(before[i].buffer));
      }
      return { error: wrong, tolerance: EXACT };
    }),
};

interface AdamwShape {
  readonly elements: number;
  readonly step: number;
  readonly clip: number;
  readonly weightDecay: number;
  readonly learningRate?: number;
  /** Start from zero parameters, so that the update alone is measured. */
  readonly zero?: boolean;
  /** Gradients' size: tiny ones let ε decide. */
  readonly deviation?: number;
  /** Where the second learning rate, five times the first, begins and ends. */
  readonly borders?: readonly number[];
}

const adamwCase = (shape: AdamwShape): KernelCase => {
  const { elements, step, clip, weightDecay, learningRate = 1e-2, zero = false, deviation = 1, borders } = shape;
  const secondRate = learningRate * 5;
  const options: AdamwOptions = { learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay, step, clip };
  const values = {
    decay: 1 - learningRate * weightDecay,
    step_size: learningRate / (1 - options.beta1 ** step),
    second_decay: 1 - secondRate * weightDecay,
    second_step_size: secondRate / (1 - options.beta1 ** step),
    inverse_sqrt_bias_correction2: 1 / Math.sqrt(1 - options.beta2 ** step),
    beta1: options.beta1,
    beta2: options.beta2,
    one_minus_beta1: 1 - options.beta1,
    one_minus_beta2: 1 - options.beta2,
    epsilon: options.epsilon,
  };
  return {
    name: `adamw ${elements}, step ${step}, clip ${clip}, decay ${weightDecay}, gradients of ${deviation}${zero ? ', from zero' : ''}${borders ? `, borders ${borders.join(' ')}` : ''}`,
    shaderFiles: ['adamw.wgsl', 'common/indexing.wgsl'],
    run: (gpu, seed) =>
      withBench(gpu, { step: values }, async (bench) => {
        const random = new Random(seed);
        const first = step === 1;
        const before = {
          parameters: zero ? new Float32Array(elements) : random.normal(elements, 0.01),
          moment1: first ? new Float32Array(elements) : random.normal(elements, deviation * 0.3),
          moment2: first ? new Float32Array(elements) : random.normal(elements, deviation).map((g) => g * g),
        };
        const gradients = random.normal(elements, deviation);
        const parameters = bench.inout('parameters', before.parameters);
        const moment1 = bench.inout('moment1', before.moment1);
        const moment2 = bench.inout('moment2', before.moment2);
        adamw(bench.plan, {
          parameters,
          gradients: bench.input('gradients', gradients),
          moment1,
          moment2,
          clip: bench.input('clip', Float32Array.of(clip)),
          elements,
          borders: borders && { tensor: bench.input('borders', Uint32Array.from(borders)), count: borders.length },
        });
        await bench.run();
        const state = {
          parameters: Float64Array.from(before.parameters),
          moment1: Float64Array.from(before.moment1),
          moment2: Float64Array.from(before.moment2),
        };
        const after = adamwReference(state, gradients, { ...options, clip: Math.fround(clip) });
        const faster = adamwReference(state, gradients, {
          ...options,
          clip: Math.fround(clip),
          learningRate: secondRate,
        });
        for (let b = 0; borders && b < borders.length; b += 2) {
          for (let i = borders[b]; i < borders[b + 1]; i++) after.parameters[i] = faster.parameters[i];
        }
        return {
          error: worst(
            await bench.error(parameters, after.parameters),
            await bench.error(moment1, after.moment1),
            await bench.error(moment2, after.moment2),
          ),
          tolerance: F32,
        };
      }),
  };
};

export const cases: KernelCase[] = [
  ...[
    { tensors: [1], maxGradNorm: 1 },
    { tensors: [NORM_SPAN - 1, NORM_SPAN, NORM_SPAN + 1], maxGradNorm: 0.3 },
    { tensors: [1000, 65], maxGradNorm: 1e9, deviation: 1e-4 },
    { tensors: [65], maxGradNorm: 1e-6, deviation: 1e-6 },
    { tensors: [100_003], maxGradNorm: 1, deviation: 1e-3 },
  ].map(gradNormCase),
  ...[Number.NaN, Number.POSITIVE_INFINITY].map(notFiniteCase),
  skippedUpdateCase,
  ...[
    { elements: 1, step: 1, clip: 1, weightDecay: 0 },
    { elements: 63, step: 1, clip: 0.25, weightDecay: 0.1, zero: true },
    { elements: 1000, step: 7, clip: 0.3, weightDecay: 0.1 },
    { elements: 1000, step: 1000, clip: 1, weightDecay: 0, zero: true },
    { elements: 65, step: 3, clip: 1, weightDecay: 0, zero: true, deviation: 1e-8 },
    { elements: 700, step: 3, clip: 1, weightDecay: 0.2, borders: [0, 64, 65, 66, 300, 301, 512, 700] },
    { elements: 300, step: 1, clip: 1, weightDecay: 0, zero: true, borders: [255, 299] },
    { elements: 66_007, step: 20, clip: 0.9, weightDecay: 0.01, learningRate: 1e-4 },
  ].map(adamwCase),
];
