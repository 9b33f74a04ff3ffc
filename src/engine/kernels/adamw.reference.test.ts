/** The reference of 8-bit moments against bitsandbytes' AdamW8bit (scripts/reference/bnb_adamw8bit.py). */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { adamw8bitReference, type CodedMoments, codeMoments, decodeMoments, type Moment } from './adamw.reference.ts';
import { DYNAMIC_MAP, UNSIGNED_DYNAMIC_MAP } from './nf4_codebook.ts';

interface Step {
  readonly gradients: readonly number[];
  readonly parameters: readonly number[];
  readonly codes1: readonly number[];
  readonly codes2: readonly number[];
  readonly largest1: readonly number[];
  readonly largest2: readonly number[];
}

const vectors: {
  readonly settings: { learningRate: number; beta1: number; beta2: number; epsilon: number; weightDecay: number };
  readonly map1: readonly number[];
  readonly map2: readonly number[];
  readonly start: readonly number[];
  readonly steps: readonly Step[];
} = JSON.parse(readFileSync(new URL('../../../e2e/golden/bnb-vectors/adamw8bit.json', import.meta.url), 'utf8'));

test('the maps are bitsandbytes’, to the last bit of which torch.linspace makes another on another processor', () => {
  for (const [ours, theirs] of [
    [DYNAMIC_MAP, vectors.map1],
    [UNSIGNED_DYNAMIC_MAP, vectors.map2],
  ] as const) {
    expect(ours.length).toBe(theirs.length);
    ours.forEach((value, i) => {
      expect(Math.abs(value - theirs[i])).toBeLessThanOrEqual(2.4e-7 * Math.abs(value));
    });
  }
});

/** On a CPU bitsandbytes rounds a value to a grid of 65,536 steps before it looks for the nearest code. */
const GRID = 2 / 65536;

function expectCodes(ours: CodedMoments, values: Float64Array, codes: readonly number[], moment: Moment) {
  const map = moment === 'moment1' ? DYNAMIC_MAP : UNSIGNED_DYNAMIC_MAP;
  codes.forEach((code, i) => {
    const x = values[i] / ours.largest[Math.floor(i / 256)];
    const off = (one: number) => Math.abs(map[one] - x);
    expect(off(code), `${moment} ${i}`).toBeLessThanOrEqual(off(ours.codes[i]) + GRID);
  });
  // Near zero the map is finer than the grid, and most codes differ; above, only those at a border.
  const above = [...codes.keys()].filter((i) => Math.abs(values[i] / ours.largest[Math.floor(i / 256)]) >= 4 * GRID);
  expect(above.length).toBeGreaterThan(codes.length / 3);
  expect(above.filter((i) => codes[i] === ours.codes[i]).length).toBeGreaterThan(0.9 * above.length);
}

test('each step from the codes before it gives bitsandbytes’ parameters and codes', () => {
  let before: { parameters: Float64Array<ArrayBuffer> } & Record<Moment, CodedMoments> = {
    parameters: Float64Array.from(vectors.start),
    moment1: codeMoments(new Float64Array(vectors.start.length), 'moment1'),
    moment2: codeMoments(new Float64Array(vectors.start.length), 'moment2'),
  };
  for (const [i, step] of vectors.steps.entries()) {
    const after = adamw8bitReference(before, step.gradients, { ...vectors.settings, step: i + 1, clip: 1 });
    after.parameters.forEach((p, j) => {
      expect(Math.abs(p - step.parameters[j])).toBeLessThan(1e-6);
    });
    expect([...after.coded.moment1.largest]).toEqual(step.largest1.map((x) => expect.closeTo(x, 7)));
    expectCodes(after.coded.moment1, after.moment1, step.codes1, 'moment1');
    expectCodes(after.coded.moment2, after.moment2, step.codes2, 'moment2');
    // From bitsandbytes' own codes, so that one on the border is not carried along.
    before = {
      parameters: Float64Array.from(step.parameters),
      moment1: { codes: Uint8Array.from(step.codes1), largest: Float32Array.from(step.largest1) },
      moment2: { codes: Uint8Array.from(step.codes2), largest: Float32Array.from(step.largest2) },
    };
  }
});

test('decoding what was coded is within half a step of the map', () => {
  const values = Float64Array.from({ length: 300 }, (_, i) => Math.sin(i) * (i < 256 ? 3 : 1e-4));
  const decoded = decodeMoments(codeMoments(values, 'moment1'), 'moment1');
  values.forEach((value, i) => {
    expect(Math.abs(decoded[i] - value)).toBeLessThanOrEqual(0.01 * (i < 256 ? 3 : 1e-4));
  });
});
