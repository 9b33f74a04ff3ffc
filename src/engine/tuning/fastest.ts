/** Milliseconds a sample should take. */
const SAMPLE_MS = 3;

/** How much slower than the fastest a variant may seem that is measured again; how many are, and how often. */
const NEAR = 1.15;
const FINALISTS = 3;
const ROUNDS = 2;

/** Of one that takes so many milliseconds. */
const repeatsFor = (ms: number) => Math.max(1, Math.min(32, Math.round(SAMPLE_MS / Math.max(ms, 0.01))));

/**
 * Which of `count` variants is the fastest; null where the time was over before each was measured. Those that were nearly as
 * fast are measured again, in turns: a GPU that comes out of its idle clock speeds up for a while, and whoever was measured
 * later looked better.
 *
 * @param sample milliseconds of variant i, of so many repeats in a row
 */
export async function fastest(
  count: number,
  sample: (i: number, repeats: number) => Promise<number>,
  expired: () => boolean,
): Promise<number | null> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    if (expired()) return null;
    const one = await sample(i, 1);
    // What is clearly slower than the best so far is measured once only.
    times.push(one > 1.6 * Math.min(...times) ? one : await sample(i, repeatsFor(one)));
  }
  const order = times.map((_, i) => i).sort((i, j) => times[i] - times[j]);
  const best = times[order[0]];
  const near = order.filter((i) => times[i] <= NEAR * best).slice(0, FINALISTS);
  if (near.length === 1) return near[0];
  const sums = near.map(() => 0);
  for (let round = 0; round < ROUNDS && !expired(); round++) {
    for (const [at, i] of near.entries()) sums[at] += await sample(i, repeatsFor(best));
  }
  return near[sums.indexOf(Math.min(...sums))];
}
