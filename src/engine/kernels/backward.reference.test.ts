/** Each backward reference against central differences of its forward reference. */
import { describe, expect, test } from 'vitest';
import { attentionBackwardReference, attentionForwardReference } from './attention.reference.ts';
import { crossEntropyReference } from './cross_entropy.reference.ts';
import { headNormBackwardReference, headNormReference } from './head_norm.reference.ts';
import { matmulGradientReference } from './low_rank.reference.ts';
import { matmulReference, matmulTransposedReference } from './matmul_dense.reference.ts';
import { rmsNormReference } from './rms_norm.reference.ts';
import { rmsNormBackwardReference } from './rms_norm_backward.reference.ts';
import { ropeReference } from './rope.reference.ts';
import { softCapReference } from './soft_cap.reference.ts';
import { swigluBackwardReference, swigluReference } from './swiglu.reference.ts';
import { gradientError } from './testing/central_differences.ts';
import { documentsOf } from './testing/documents.ts';
import { Random } from './testing/random.ts';

const SAMPLES = 60;
const TOLERANCE = 1e-6;
const random = new Random(Math.floor(Math.random() * 2 ** 32));
const normal = (count: number) => Float64Array.from(random.normal(count));
const dot = (x: ArrayLike<number>, y: ArrayLike<number>) => {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
};

test('rms_norm_backward', () => {
  const [x, weight, dy] = [normal(35), normal(7), normal(35)];
  const analytic = rmsNormBackwardReference(x, weight, 0.1, dy);
  const loss = () => dot(rmsNormReference(x, weight, 0.1), dy);
  expect(gradientError(loss, x, analytic, random, SAMPLES)).toBeLessThanOrEqual(TOLERANCE);
});

test('head_norm_backward', () => {
  const shape = { heads: 3, kvHeads: 2, query: normal(5), key: normal(5), epsilon: 0.1 };
  const [qkv, dy] = [normal(2 * 35), normal(2 * 35)];
  const analytic = headNormBackwardReference(qkv, shape, dy);
  const loss = () => dot(headNormReference(qkv, shape), dy);
  expect(gradientError(loss, qkv, analytic, random, SAMPLES)).toBeLessThanOrEqual(TOLERANCE);
});

test('rope, inverse', () => {
  const shape = { stride: 36, heads: 2, headDim: 12 };
  const spec = { inverseFrequencies: [1, 0.3, 0.1], attentionScaling: 1.2, long: null };
  const positions = [0, 5, 3];
  const [x, dy] = [normal(108), normal(108)];
  const loss = () => dot(ropeReference(x, positions, spec, shape), dy);
  const analytic = ropeReference(dy, positions, spec, shape, true);
  expect(gradientError(loss, x, analytic, random, SAMPLES)).toBeLessThanOrEqual(TOLERANCE);
});

test.each(['silu', 'gelu_tanh'] as const)('swiglu_backward, %s', (activation) => {
  const [gateUp, dy] = [normal(60), normal(30)];
  const loss = () => dot(swigluReference(gateUp, 10, activation), dy);
  const analytic = swigluBackwardReference(gateUp, dy, 10, activation);
  expect(gradientError(loss, gateUp, analytic, random, SAMPLES)).toBeLessThanOrEqual(TOLERANCE);
});

test('matmul, by its input and by its weight', () => {
  const [x, weight, dy] = [normal(4 * 5), normal(3 * 5), normal(4 * 3)];
  const loss = () => dot(matmulReference(x, weight, 5, 3), dy);
  const byInput = matmulTransposedReference(dy, weight, 3, 5);
  const byWeight = matmulGradientReference(dy, x, 3, 5);
  expect(gradientError(loss, x, byInput, random, SAMPLES)).toBeLessThanOrEqual(TOLERANCE);
  expect(gradientError(loss, weight, byWeight, random, SAMPLES)).toBeLessThanOrEqual(TOLERANCE);
});

test('cross_entropy', () => {
  const logits = normal(4 * 9);
  const targets = [3, -1, 0, 8];
  const loss = () => dot(crossEntropyReference(logits, targets, 9, 0.25).loss, [1, 0, 1, 0, 1, 0, 1, 0]) * 0.25;
  const { gradient } = crossEntropyReference(logits, targets, 9, 0.25);
  expect(gradientError(loss, logits, gradient, random, SAMPLES)).toBeLessThanOrEqual(TOLERANCE);
});

test('cross_entropy of soft-capped logits', () => {
  const logits = normal(4 * 9);
  const targets = [3, -1, 0, 8];
  const entropy = () => crossEntropyReference(softCapReference(logits, 1.5), targets, 9, 0.25, 1.5);
  const loss = () => dot(entropy().loss, [1, 0, 1, 0, 1, 0, 1, 0]) * 0.25;
  expect(gradientError(loss, logits, entropy().gradient, random, SAMPLES)).toBeLessThanOrEqual(TOLERANCE);
});

describe.each([
  { heads: 2, kvHeads: 2, window: null, softCap: null },
  { heads: 4, kvHeads: 2, window: 3, softCap: null },
  { heads: 3, kvHeads: 1, window: 1, softCap: null },
  { heads: 4, kvHeads: 2, window: 4, softCap: 1.2 },
])('attention with $heads/$kvHeads heads, window $window, cap $softCap', ({ heads, kvHeads, window, softCap }) => {
  const shape = { heads, kvHeads, headDim: 4, scale: 0.5, window, softCap };
  const documents = documentsOf([0, 2, 3], 9);
  const stride = (heads + 2 * kvHeads) * 4;

  test('attention_backward', () => {
    const [qkv, dO] = [normal(9 * stride), normal(9 * heads * 4)];
    const loss = () => dot(attentionForwardReference(qkv, documents, shape).o, dO);
    const analytic = attentionBackwardReference(qkv, documents, shape, dO);
    expect(gradientError(loss, qkv, analytic, random, SAMPLES)).toBeLessThanOrEqual(TOLERANCE);
  });

  test('no key of another document, none later, none outside the window has any weight', () => {
    const qkv = normal(9 * stride);
    const before = attentionForwardReference(qkv, documents, shape).o;
    const t = 5;
    for (let other = 0; other < 9; other++) {
      const seen = other >= 3 && other <= t && (window === null || other > t - window);
      const changed = qkv.slice();
      for (let i = heads * 4; i < stride; i++) changed[other * stride + i] += 1;
      const row = (o: Float64Array) => [...o.subarray(t * heads * 4, (t + 1) * heads * 4)];
      const after = attentionForwardReference(changed, documents, shape).o;
      if (seen) expect(row(after)).not.toEqual(row(before));
      else expect(row(after)).toEqual(row(before));
    }
  });
});

test('control: a gradient wrong by 1e-5 fails', () => {
  const [gateUp, dy] = [normal(60), normal(30)];
  const loss = () => dot(swigluReference(gateUp, 10), dy);
  const wrong = swigluBackwardReference(gateUp, dy, 10).map((g) => g * (1 + 1e-5));
  expect(gradientError(loss, gateUp, wrong, random, SAMPLES)).toBeGreaterThan(TOLERANCE);
});
