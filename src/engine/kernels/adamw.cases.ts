import {
  type AdamwOptions,
  adamw8bitReference,
  adamwReference,
  type CodedMoments,
  gradNormReference,
  type Moment,
} from './adamw.reference.ts';
import { adamw, gradNorm, gradNormPartials, type MomentLayout, momentTables, NORM_SPAN } from './adamw.ts';
import { LOG_FIELDS } from './cross_entropy.ts';
import { EXACT, F32, type KernelCase, placeReference, relativeError, withBench, worst } from './testing/harness.ts';
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

/** f32 moments as pages hold them; `beyond` where a last page has no parameters. */
function inPages(first: ArrayLike<number>, second: ArrayLike<number>, page: number, beyond: number): number[] {
  const pages = Math.ceil(first.length / page);
  return Array.from({ length: pages * 2 * page }, (_, at) => {
    const i = Math.floor(at / (2 * page)) * page + (at % page);
    const values = at % (2 * page) < page ? first : second;
    return i < values.length ? values[i] : beyond;
  });
}

const f32Layout = (pageElements: number): MomentLayout => ({ bits: 32, pageElements, tables: null });

const SHADERS = ['adamw.wgsl', 'common/adamw.wgsl', 'common/indexing.wgsl'];

/** A clip coefficient below zero: parameters and moments keep their bits, whatever the gradients are. */
const skippedUpdateCase = (bits: 8 | 32): KernelCase => ({
  name: `adamw 300 in ${bits} bits, skipped`,
  shaderFiles: bits === 32 ? SHADERS : SHADERS_8BIT,
  run: (gpu, seed) =>
    withBench(gpu, { step: { decay: 0.5, step_size: 1 } }, async (bench) => {
      const random = new Random(seed);
      const elements = 300;
      const before = random.normal(elements);
      const moments =
        bits === 32
          ? new Uint32Array(random.uniform(2048, 0, 1).buffer)
          : Uint32Array.from({ length: 512 / 2 + 4 }, () => random.word() & 0x7f7fffff);
      const parameters = bench.inout('parameters', before);
      const state = bench.inout('moments', moments);
      adamw(bench.plan, {
        parameters,
        gradients: bench.input('gradients', new Float32Array(elements).fill(Number.NaN)),
        moments: state,
        layout:
          bits === 32 ? f32Layout(1024) : { bits, pageElements: 512, tables: bench.input('tables', momentTables()) },
        clip: bench.input('clip', Float32Array.of(-1)),
        elements,
      });
      await bench.run();
      const error =
        (await bench.wrongWords(parameters, new Uint32Array(before.buffer))) + (await bench.wrongWords(state, moments));
      return { error, tolerance: EXACT };
    }),
});

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
  /** Parameters a page; and what the borders count the first parameter as. */
  readonly page?: number;
  readonly first?: number;
}

/** The step's fields. */
function stepOf({ learningRate, weightDecay, step, ...rates }: AdamwOptions) {
  const secondRate = learningRate * 5;
  return {
    decay: 1 - learningRate * weightDecay,
    step_size: learningRate / (1 - rates.beta1 ** step),
    second_decay: 1 - secondRate * weightDecay,
    second_step_size: secondRate / (1 - rates.beta1 ** step),
    inverse_sqrt_bias_correction2: 1 / Math.sqrt(1 - rates.beta2 ** step),
    beta1: rates.beta1,
    beta2: rates.beta2,
    one_minus_beta1: 1 - rates.beta1,
    one_minus_beta2: 1 - rates.beta2,
    epsilon: rates.epsilon,
  };
}

const adamwCase = (shape: AdamwShape): KernelCase => {
  const { elements, step, clip, weightDecay, learningRate = 1e-2, zero = false, deviation = 1, borders } = shape;
  const { page = 1 << 17, first: firstElement = 0 } = shape;
  const secondRate = learningRate * 5;
  const options: AdamwOptions = { learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay, step, clip };
  const values = stepOf(options);
  const pages = shape.page === undefined ? '' : `, pages of ${page} from ${firstElement}`;
  return {
    name: `adamw ${elements}, step ${step}, clip ${clip}, decay ${weightDecay}, gradients of ${deviation}${zero ? ', from zero' : ''}${borders ? `, borders ${borders.join(' ')}` : ''}${pages}`,
    shaderFiles: SHADERS,
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
        // A first moment and a second, wherever a page ends.
        const moments = bench.inout('moments', Float32Array.from(inPages(before.moment1, before.moment2, page, 0.5)));
        adamw(bench.plan, {
          parameters,
          gradients: bench.input('gradients', gradients),
          moments,
          layout: f32Layout(page),
          clip: bench.input('clip', Float32Array.of(clip)),
          elements,
          first: firstElement,
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
          for (let at = borders[b]; at < borders[b + 1]; at++) {
            const i = at - firstElement;
            if (i >= 0 && i < elements) after.parameters[i] = faster.parameters[i];
          }
        }
        return {
          error: worst(
            await bench.error(parameters, after.parameters),
            await bench.error(moments, inPages(after.moment1, after.moment2, page, 0.5)),
          ),
          tolerance: F32,
        };
      }),
  };
};

const SHADERS_8BIT = ['adamw_8bit.wgsl', 'common/adamw.wgsl', 'common/reduce.wgsl', 'common/indexing.wgsl'];
const BLOCK = 256;

/** Codes of any value, each block with a scale of its own. */
function randomCoded(random: Random, elements: number, scale: number): CodedMoments {
  const codes = Uint8Array.from(random.integers(elements, 0, 256));
  return { codes, largest: random.uniform(Math.ceil(elements / BLOCK), 0.5 * scale, scale) };
}

/** Words of a page: codes of the first moments, of the second, the largest of each block of either; zeros behind the end. */
function codedPages({ moment1, moment2 }: Record<Moment, CodedMoments>, page: number): Uint32Array<ArrayBuffer> {
  const pages = Math.ceil(moment1.codes.length / page);
  const pageBytes = 2 * page + (8 * page) / BLOCK;
  const bytes = new Uint8Array(pages * pageBytes);
  for (let p = 0; p < pages; p++) {
    const [from, to] = [p * page, (p + 1) * page];
    for (const [i, { codes, largest }] of [moment1, moment2].entries()) {
      bytes.set(codes.subarray(from, to), p * pageBytes + i * page);
      const scales = new Uint8Array(largest.slice(from / BLOCK, to / BLOCK).buffer);
      bytes.set(scales, p * pageBytes + 2 * page + (4 * i * page) / BLOCK);
    }
  }
  return new Uint32Array(bytes.buffer);
}

interface Adamw8bitShape {
  readonly elements: number;
  readonly page: number;
  readonly step: number;
  readonly clip: number;
  readonly weightDecay: number;
  /** Moments of zero, as a run starts. */
  readonly fresh?: boolean;
  readonly borders?: readonly number[];
  readonly first?: number;
}

/**
 * Parameters within f32's tolerance; codes equal, but where a value lies on the border of two, which either may take. What
 * is wrong beyond that counts as infinitely wrong.
 */
const adamw8bitCase = (shape: Adamw8bitShape): KernelCase => {
  const { elements, page, step, clip, weightDecay, fresh = false, borders = null, first = 0 } = shape;
  const learningRate = 1e-2;
  const options: AdamwOptions = { learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay, step, clip };
  return {
    name: `adamw in 8 bits ${elements}, pages of ${page}, step ${step}, clip ${clip}${fresh ? ', from zero' : ''}${borders ? `, borders ${borders.join(' ')} from ${first}` : ''}`,
    shaderFiles: SHADERS_8BIT,
    run: (gpu, seed) =>
      withBench(gpu, { step: stepOf(options) }, async (bench) => {
        const random = new Random(seed);
        const zero = { codes: new Uint8Array(elements), largest: new Float32Array(Math.ceil(elements / BLOCK)) };
        const before = {
          parameters: Float64Array.from(random.normal(elements, 0.01)),
          moment1: fresh ? zero : randomCoded(random, elements, 0.1),
          moment2: fresh ? zero : randomCoded(random, elements, 0.1),
        };
        // A block without a gradient: its largest may be 0.
        const gradients = random.normal(elements).map((g, i) => (i < BLOCK ? 0 : g * 0.1));
        const parameters = bench.inout('parameters', Float32Array.from(before.parameters));
        const moments = bench.inout('moments', codedPages(before, page));
        adamw(bench.plan, {
          parameters,
          gradients: bench.input('gradients', gradients),
          moments,
          layout: { bits: 8, pageElements: page, tables: bench.input('tables', momentTables()) },
          clip: bench.input('clip', Float32Array.of(clip)),
          elements,
          first,
          borders: borders && { tensor: bench.input('borders', Uint32Array.from(borders)), count: borders.length },
        });
        await bench.run();
        const rounded = { ...options, clip: Math.fround(clip) };
        const after = adamw8bitReference(before, gradients, rounded);
        const faster = adamw8bitReference(before, gradients, { ...rounded, learningRate: 5 * learningRate });
        after.parameters.forEach((_, i) => {
          const passed = (borders ?? []).filter((border) => border <= first + i).length;
          if (passed % 2 === 1) after.parameters[i] = faster.parameters[i];
        });
        const words = await bench.words(moments);
        // Behind the last parameter, to the end of its block, the kernel codes zeros.
        const codes = new Uint8Array(Math.ceil(elements / BLOCK) * BLOCK).fill(127);
        codes.set(after.coded.moment1.codes);
        const expected = codedPages({ ...after.coded, moment1: { ...after.coded.moment1, codes } }, page);
        const wrong = wrongCodes(words, expected, page);
        const guard = words.subarray(expected.length).some((word) => word !== words[words.length - 1]);
        const error = worst(await bench.error(parameters, after.parameters), scalesError(words, expected, page));
        // Codes on a border: a few in a million values; one block of two thirds wrong codes is far beyond.
        const few = 1 + elements / 2000;
        return { error: wrong > few || guard ? Number.POSITIVE_INFINITY : error, tolerance: F32 };
      }),
  };
};

/** Codes that differ by one count one; by more they count for all. */
function wrongCodes(words: Uint32Array<ArrayBuffer>, expected: Uint32Array<ArrayBuffer>, page: number): number {
  const [ours, theirs] = [words, expected].map((all) => new Uint8Array(all.buffer, 0, expected.byteLength));
  const pageBytes = 2 * page + (8 * page) / BLOCK;
  let wrong = 0;
  theirs.forEach((code, i) => {
    if (i % pageBytes >= 2 * page || ours[i] === code) return;
    wrong += Math.abs(ours[i] - code) === 1 ? 1 : Number.POSITIVE_INFINITY;
  });
  return wrong;
}

function scalesError(words: Uint32Array<ArrayBuffer>, expected: Uint32Array<ArrayBuffer>, page: number): number {
  const pageWords = page / 2 + (2 * page) / BLOCK;
  const scales = (all: Uint32Array<ArrayBuffer>) =>
    new Float32Array(all.subarray(0, expected.length).filter((_, i) => i % pageWords >= page / 2).buffer);
  return relativeError(new Uint32Array(scales(words).buffer), scales(expected));
}

export const cases: KernelCase[] = [
  ...[
    { tensors: [1], maxGradNorm: 1 },
    { tensors: [NORM_SPAN - 1, NORM_SPAN, NORM_SPAN + 1], maxGradNorm: 0.3 },
    { tensors: [1000, 65], maxGradNorm: 1e9, deviation: 1e-4 },
    { tensors: [65], maxGradNorm: 1e-6, deviation: 1e-6 },
    { tensors: [100_003], maxGradNorm: 1, deviation: 1e-3 },
  ].map(gradNormCase),
  ...[Number.NaN, Number.POSITIVE_INFINITY].map(notFiniteCase),
  skippedUpdateCase(32),
  skippedUpdateCase(8),
  ...[
    { elements: 1, step: 1, clip: 1, weightDecay: 0 },
    { elements: 63, step: 1, clip: 0.25, weightDecay: 0.1, zero: true },
    { elements: 1000, step: 7, clip: 0.3, weightDecay: 0.1 },
    { elements: 1000, step: 1000, clip: 1, weightDecay: 0, zero: true },
    { elements: 65, step: 3, clip: 1, weightDecay: 0, zero: true, deviation: 1e-8 },
    { elements: 700, step: 3, clip: 1, weightDecay: 0.2, borders: [0, 64, 65, 66, 300, 301, 512, 700] },
    { elements: 300, step: 1, clip: 1, weightDecay: 0, zero: true, borders: [255, 299] },
    { elements: 66_007, step: 20, clip: 0.9, weightDecay: 0.01, learningRate: 1e-4 },
    { elements: 1000, step: 5, clip: 0.7, weightDecay: 0.1, page: 256 },
    {
      elements: 700,
      step: 3,
      clip: 1,
      weightDecay: 0.2,
      page: 512,
      first: 512,
      borders: [0, 100, 600, 601, 1000, 1300],
    },
  ].map(adamwCase),
  ...[
    { elements: 1, page: 256, step: 1, clip: 1, weightDecay: 0, fresh: true },
    { elements: 1000, page: 512, step: 1, clip: 0.3, weightDecay: 0.1, fresh: true },
    { elements: 4096, page: 1024, step: 40, clip: 0.7, weightDecay: 0.1 },
    { elements: 65, page: 256, step: 7, clip: 1, weightDecay: 0 },
    {
      elements: 700,
      page: 512,
      step: 3,
      clip: 1,
      weightDecay: 0.2,
      first: 512,
      borders: [0, 513, 600, 601, 1000, 1300],
    },
  ].map(adamw8bitCase),
];
