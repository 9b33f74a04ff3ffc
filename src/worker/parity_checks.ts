/** The comparisons of a golden case, and how far apart two results may be (golden/README.md, "Pass"). */
import type { PaddedBatch } from '../data/batch.ts';
import type { NamedFloats } from './parity_case.ts';
import type { ParityCheck } from './protocol.ts';

/** float32 throughout; PyTorch run again on another device is 20 to 200 times closer than this. */
export const LIMITS = {
  logits: 2e-5,
  gradient: 2e-4,
  loss: 2e-5,
  gradNorm: 2e-4,
  adapter: 1e-3,
  /** A mean's summation order. */
  nested: 3e-7,
  learningRate: 1e-12,
  /** Of generation, against the training forward. */
  cachedLogits: 1e-5,
} as const;
export type Limits = Readonly<Record<keyof typeof LIMITS, number>>;

/** Matmuls round their operands to f16: loss, grad_norm and adapter as golden/README.md says, the rest in keeping. */
export const F16_LIMITS: Limits = {
  ...LIMITS,
  logits: 5e-3,
  gradient: 5e-2,
  loss: 2e-3,
  gradNorm: 2e-2,
  adapter: 5e-2,
};

/** A NaN anywhere never passes: no comparison with it is true. */
export function check(name: string, value: number, limit: number): ParityCheck {
  return { name, value, limit, pass: value <= limit };
}

/** ‖a − b‖ / ‖b‖ in float64; infinite when lengths differ. */
export function relativeNorm(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return relativeDistance([[a, b, null]]);
}

/** ‖a − b‖ / ‖b − origin‖ over several tensors together; an absent origin is zero. */
export function relativeDistance(
  tensors: Iterable<readonly [a: ArrayLike<number>, b: ArrayLike<number>, origin: ArrayLike<number> | null]>,
): number {
  let difference = 0;
  let scale = 0;
  for (const [a, b, origin] of tensors) {
    if (a.length !== b.length) return Number.POSITIVE_INFINITY;
    for (let i = 0; i < b.length; i++) {
      difference += (a[i]! - b[i]!) ** 2;
      scale += (b[i]! - (origin ? origin[i]! : 0)) ** 2;
    }
  }
  // A gradient that is all zero must be met exactly.
  return scale === 0 ? (difference === 0 ? 0 : Number.POSITIVE_INFINITY) : Math.sqrt(difference / scale);
}

/** |a − b| / |b|. */
export function relativeError(a: number, b: number): number {
  return b === 0 ? (a === 0 ? 0 : Number.POSITIVE_INFINITY) : Math.abs(a - b) / Math.abs(b);
}

/** The largest of several errors; NaN when one is NaN, which `Math.max` guarantees. */
export const largest = (errors: Iterable<number>): number => Math.max(0, ...errors);

/** How many elements differ; all of them when lengths do. */
export function mismatches(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Math.max(a.length, b.length);
  let count = 0;
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) count++;
  return count;
}

/** How many entries of a padded batch differ. */
export function batchMismatches(ours: PaddedBatch, theirs: PaddedBatch): number {
  return (['input_ids', 'labels', 'position_ids', 'segments'] as const)
    .map((field) => mismatches(ours[field].flat(), theirs[field].flat()) + rowMismatch(ours[field], theirs[field]))
    .reduce((sum, count) => sum + count, 0);
}

const rowMismatch = (a: readonly unknown[], b: readonly unknown[]) => (a.length === b.length ? 0 : 1);

/** Names that only one side has. */
export function nameMismatches(ours: ReadonlySet<string>, theirs: ReadonlySet<string>): number {
  const missing = (from: ReadonlySet<string>, of: ReadonlySet<string>) =>
    [...of].filter((name) => !from.has(name)).length;
  return missing(ours, theirs) + missing(theirs, ours);
}

/** One check a tensor, so that a report names the one that is wrong. */
export function gradientChecks(
  ours: ReadonlyMap<string, { data: Float32Array }>,
  theirs: NamedFloats,
  limits: Limits,
): ParityCheck[] {
  const names = check('gradients: names', nameMismatches(new Set(ours.keys()), new Set(theirs.keys())), 0);
  const each = [...theirs].map(([name, reference]) =>
    check(`gradient of ${name}`, relativeNorm(ours.get(name)?.data ?? [], reference), limits.gradient),
  );
  return [names, ...each];
}
