/** How long the examples of a dataset are, in tokens, before anything is cut off. */

export interface LengthStatistics {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
  /** Examples of [i · binWidth, (i + 1) · binWidth) tokens; the last bin holds all that are longer as well. */
  readonly bins: readonly number[];
  readonly binWidth: number;
}

const BINS = 40;

/** The bins reach to the 99th percentile, or to `maxLength` where that is further and some example reaches it. */
export function lengthStatistics(lengths: Uint32Array, maxLength: number): LengthStatistics {
  const sorted = lengths.slice().sort();
  const count = sorted.length;
  // The nearest rank: the smallest length that this share of the examples does not exceed.
  const percentile = (share: number) => (count === 0 ? 0 : sorted[Math.max(0, Math.ceil(share * count) - 1)]);
  const max = percentile(1);
  const reach = Math.max(percentile(0.99), Math.min(max, maxLength));
  const binWidth = Math.max(1, Math.ceil((reach + 1) / BINS));
  const bins = new Array<number>(Math.min(BINS, Math.ceil((max + 1) / binWidth))).fill(0);
  for (const length of sorted) bins[Math.min(bins.length - 1, Math.floor(length / binWidth))]++;
  return {
    count,
    mean: count === 0 ? 0 : sorted.reduce((sum, length) => sum + length, 0) / count,
    p50: percentile(0.5),
    p90: percentile(0.9),
    p95: percentile(0.95),
    p99: percentile(0.99),
    max,
    bins,
    binWidth,
  };
}
