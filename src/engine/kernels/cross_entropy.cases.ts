import { crossEntropyReference } from './cross_entropy.reference.ts';
import { crossEntropy, LOG_FIELDS, lossSum } from './cross_entropy.ts';
import { F32, type KernelCase, POISON, placeReference, withBench, worst } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly tokens: number;
  readonly vocab: number;
  readonly gradient: boolean;
  readonly capacity?: number;
  /** Logits are uniform up to ±this. */
  readonly range?: number;
  readonly rows?: { readonly first: number; readonly count: number };
  /** Which targets are −1. */
  readonly untrained?: (token: number) => boolean;
  /** Make the target's logit the largest: losses about 0.05, small beside the logits. */
  readonly confident?: boolean;
  /** Logits are soft-capped ones. */
  readonly cap?: number;
}

const crossEntropyCase = (shape: Shape): KernelCase => {
  const { tokens, vocab, gradient, capacity = tokens, range = 5, untrained = (t) => t % 5 === 3 } = shape;
  const rows = shape.rows ?? { first: 0, count: capacity };
  const notes = [
    shape.confident ? 'confident' : '',
    shape.rows ? `rows ${rows.first} + ${rows.count}` : '',
    shape.cap ? `capped at ${shape.cap}` : '',
  ].filter(Boolean);
  return {
    name: [
      'cross_entropy',
      `${tokens} of ${capacity} × ${vocab}, ±${range}`,
      gradient ? 'gradient' : 'loss only',
      ...notes,
    ].join(' '),
    shaderFiles: ['cross_entropy.wgsl', 'common/indexing.wgsl', 'common/reduce.wgsl', 'common/soft_cap.wgsl'],
    run: (gpu, seed) => {
      const inverse = Math.fround(1 / 37);
      return withBench(gpu, { tokens, capacity, step: { inverse_trained_tokens: inverse } }, async (bench) => {
        const random = new Random(seed);
        const used = Math.min(rows.count, tokens - rows.first);
        const targets = Int32Array.from({ length: tokens }, (_, t) => (untrained(t) ? -1 : random.integer(0, vocab)));
        const chunkTargets = targets.subarray(rows.first, rows.first + used);
        const logits = random.uniform(used * vocab, -range, range);
        if (shape.confident) {
          chunkTargets.forEach((target, t) => {
            if (target >= 0) logits[t * vocab + target] = range * 2.1;
          });
        }
        const logitTensor = bench.inoutRows('logits', logits, { width: vocab, capacity: rows.count });
        const loss = bench.output('loss', capacity * 2);
        crossEntropy(bench.plan, {
          logits: logitTensor,
          targets: bench.input('targets', targets, capacity - tokens),
          loss,
          vocab,
          rows,
          gradient,
          cap: shape.cap,
        });
        await bench.run();
        const reference = crossEntropyReference(logits, chunkTargets, vocab, inverse, shape.cap ?? null);
        // Loss and hit apart: hits are 0 or 1 and would hide a small loss.
        const part = (field: number) =>
          placeReference(
            reference.loss.filter((_, i) => i % 2 === field),
            { width: 1, capacity: used, stride: 1 },
          );
        const words = await bench.words(loss);
        const begin = rows.first * 2;
        const outside = words.some((word, i) => (i < begin || i >= begin + used * 2) && word !== POISON);
        const values = new Float32Array(words.buffer).subarray(begin, begin + used * 2);
        const errorOf = (field: number) => {
          const wanted = part(field);
          let difference = 0;
          let norm = 0;
          wanted.forEach((x, t) => {
            difference += (values[t * 2 + field] - x) ** 2;
            norm += x ** 2;
          });
          return difference === 0 ? 0 : Math.sqrt(difference / norm);
        };
        return {
          error: worst(
            outside ? Number.POSITIVE_INFINITY : 0,
            errorOf(0),
            errorOf(1),
            await bench.error(logitTensor, gradient ? reference.gradient : logits),
          ),
          tolerance: F32,
        };
      });
    },
  };
};

interface SumShape {
  readonly tokens: number;
  readonly capacity: number;
  readonly slot: number;
  readonly microBatch: number;
}

const lossSumCase = ({ tokens, capacity, slot, microBatch }: SumShape): KernelCase => ({
  name: `loss_sum ${tokens} of ${capacity}, slot ${slot}, micro-batch ${microBatch}`,
  shaderFiles: ['loss_sum.wgsl', 'common/reduce.wgsl'],
  run: (gpu, seed) =>
    withBench(gpu, { tokens, capacity, step: { log_slot: slot, micro_batch: microBatch } }, async (bench) => {
      const random = new Random(seed);
      const losses = random.uniform(tokens * 2, 0, 9);
      const ring = random.normal(LOG_FIELDS * 5);
      const logRing = bench.inout('log_ring', ring);
      lossSum(bench.plan, { loss: bench.inputRows('loss', losses, { width: 2, capacity }), logRing });
      await bench.run();
      const reference = Float64Array.from(ring);
      for (let field = 0; field < 2; field++) {
        const sum = losses.reduce((total, x, i) => (i % 2 === field ? total + x : total), 0);
        reference[slot * LOG_FIELDS + field] = sum + (microBatch === 0 ? 0 : ring[slot * LOG_FIELDS + field]);
      }
      // What it does not write must stay as it was, to the bit.
      const bits = new Uint32Array(ring.buffer);
      const words = await bench.words(logRing);
      const disturbed = bits.some((word, i) => {
        const written = i >= slot * LOG_FIELDS && i < slot * LOG_FIELDS + 2;
        return !written && words[i] !== word;
      });
      const written = reference.subarray(slot * LOG_FIELDS, slot * LOG_FIELDS + 2);
      const values = new Float32Array(words.buffer).subarray(slot * LOG_FIELDS, slot * LOG_FIELDS + 2);
      const error = worst(...Array.from(written, (x, i) => Math.abs(values[i] - x) / Math.abs(x)));
      return { error: disturbed ? Number.POSITIVE_INFINITY : error, tolerance: F32 };
    }),
});

export const cases: KernelCase[] = [
  ...(
    [
      // One logit at a time.
      { tokens: 1, vocab: 1, gradient: true, range: 80, untrained: () => false },
      { tokens: 7, vocab: 7, gradient: true, range: 80, untrained: (t) => t === 2 },
      { tokens: 7, vocab: 1001, gradient: true, range: 80 },
      { tokens: 63, vocab: 33, gradient: true, capacity: 70 },
      { tokens: 65, vocab: 257, gradient: false },
      { tokens: 65, vocab: 130, gradient: true, confident: true },
      { tokens: 65, vocab: 65, gradient: true, rows: { first: 0, count: 20 }, capacity: 70 },
      { tokens: 65, vocab: 65, gradient: true, rows: { first: 60, count: 20 }, capacity: 90 },
      { tokens: 7, vocab: 33, gradient: true, untrained: () => true },
      { tokens: 1000, vocab: 7, gradient: true },
      // Four at a time, up to several vectors an invocation.
      { tokens: 3, vocab: 4, gradient: true, range: 80, untrained: () => false },
      { tokens: 7, vocab: 2056, gradient: true, range: 80 },
      { tokens: 63, vocab: 36, gradient: true, capacity: 70 },
      { tokens: 65, vocab: 1028, gradient: false, capacity: 66 },
      { tokens: 65, vocab: 132, gradient: true, confident: true },
      { tokens: 65, vocab: 64, gradient: false, rows: { first: 60, count: 20 }, capacity: 90 },
      { tokens: 65, vocab: 64, gradient: true, rows: { first: 20, count: 20 }, capacity: 70 },
      { tokens: 7, vocab: 36, gradient: true, untrained: () => true },
      { tokens: 7, vocab: 36, gradient: false, untrained: () => true },
      { tokens: 1000, vocab: 8, gradient: true },
      { tokens: 65, vocab: 36, gradient: true, capacity: 70, range: 29, cap: 30 },
      { tokens: 63, vocab: 33, gradient: true, range: 29, cap: 30 },
    ] satisfies Shape[]
  ).map(crossEntropyCase),
  ...[
    { tokens: 1, capacity: 1, slot: 0, microBatch: 0 },
    { tokens: 63, capacity: 65, slot: 3, microBatch: 1 },
    { tokens: 1000, capacity: 1000, slot: 4, microBatch: 0 },
  ].map(lossSumCase),
];
