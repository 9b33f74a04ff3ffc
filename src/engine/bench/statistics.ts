/** What is said of repeated measurements. */

/** Of a quantity measured several times: its median, extremes and how often. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly samples: number;
}

/** @throws RangeError without a sample */
export function summarize(samples: readonly number[]): Summary {
  if (samples.length === 0) throw new RangeError('no samples');
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], samples: sorted.length };
}

/** The summary of samples that were all multiplied by a positive factor. */
export const scaled = ({ median, min, max, samples }: Summary, factor: number): Summary => ({
  median: median * factor,
  min: min * factor,
  max: max * factor,
  samples,
});

/** Full spread as a share of the median: 0 when all samples agree. */
export const spread = ({ median, min, max }: Summary): number => (median > 0 ? (max - min) / median : 0);
