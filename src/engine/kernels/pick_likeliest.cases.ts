import { pickLikeliestReference } from './pick_likeliest.reference.ts';
import { pickLikeliest } from './pick_likeliest.ts';
import { EXACT, type KernelCase, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly tokens: number;
  readonly capacity?: number;
  readonly vocab: number;
  /** Few different logits, so that many are the largest. */
  readonly ties?: boolean;
  /** The last row has no number in it. */
  readonly nan?: boolean;
}

const LIMIT = 3;

const pickCase = ({ tokens, capacity = tokens, vocab, ties, nan }: Shape): KernelCase => ({
  name: `pick_likeliest ${tokens} of ${capacity} × ${vocab}${ties ? ', ties' : ''}${nan ? ', NaN' : ''}`,
  shaderFiles: ['pick_likeliest.wgsl'],
  run: (gpu, seed) =>
    withBench(gpu, { tokens, capacity }, async (bench) => {
      const random = new Random(seed);
      // Negative ones too: padding must not win.
      const logits = random.normal(tokens * vocab).map((x) => (ties ? Math.round(x) : x) - 20);
      if (nan) logits.fill(Number.NaN, (tokens - 1) * vocab);
      const slots = Uint32Array.from({ length: tokens }, (_, t) => tokens - 1 - t);
      // The first slot is full.
      const counts = Uint32Array.from({ length: tokens }, (_, slot) => (slot === 0 ? LIMIT : slot % LIMIT));
      const positions = random.integers(tokens, 0, 100);
      const before = random.integers(tokens * LIMIT * 2, 0, 1000);
      const bound = {
        ids: bench.inout('ids', new Uint32Array(tokens)),
        positions: bench.inout('positions', positions),
        counts: bench.inout('counts', counts),
        picked: bench.inout('picked', before),
      };
      pickLikeliest(bench.plan, {
        ...bound,
        logits: bench.inputRows('logits', logits, { width: vocab, capacity }),
        vocab,
        slots: bench.input('slots', slots),
        limit: LIMIT,
      });
      await bench.run();
      const best = pickLikeliestReference(logits, vocab);
      const expected = Uint32Array.from(before);
      for (const [t, id] of best.entries()) {
        const at = slots[t] * LIMIT + counts[slots[t]];
        const top = id < vocab ? logits[t * vocab + id] : -3.4e38;
        if (counts[slots[t]] < LIMIT) expected.set([id, new Uint32Array(Float32Array.of(top).buffer)[0]], 2 * at);
      }
      const wrong = [
        await bench.wrongWords(bound.picked, expected),
        await bench.wrongWords(
          bound.ids,
          best.map((id) => Math.min(id, vocab - 1)),
        ),
        await bench.wrongWords(
          bound.positions,
          positions.map((p) => p + 1),
        ),
        await bench.wrongWords(
          bound.counts,
          counts.map((c) => c + 1),
        ),
      ];
      return { error: wrong.reduce((a, b) => a + b), tolerance: EXACT };
    }),
});

export const cases: KernelCase[] = (
  [
    { tokens: 1, vocab: 1 },
    { tokens: 3, capacity: 5, vocab: 1000, ties: true },
    { tokens: 4, vocab: 65, ties: true, nan: true },
    { tokens: 2, vocab: 5003 },
  ] satisfies Shape[]
).map(pickCase);
