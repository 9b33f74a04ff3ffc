import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GPU } from '../device/testing/capabilities.ts';
import { ATTENTION_MATRIX, ATTENTION_VARIANTS, chooseAttentionParts } from '../kernels/attention_variant.ts';
import { AttentionChoices, type AttentionProblem, forcedAttention } from './attention_choices.ts';
import { attentionCandidates, tunedDocuments } from './attention_tuning.ts';

const { LARGE, MEDIUM, SMALL } = ATTENTION_VARIANTS;
const PROBLEM: AttentionProblem = {
  ...{ pass: 'backward_key_value', rows: 512, heads: 9, kvHeads: 3, headDim: 64 },
  ...{ window: null, precision: 'f32' },
};

test('by rule first, as measured afterwards, as forced whatever was measured', () => {
  const choices = new AttentionChoices();
  expect(choices.choose(PROBLEM, GPU)).toEqual({
    variant: LARGE,
    parts: chooseAttentionParts(PROBLEM, 512, LARGE, GPU),
  });
  expect(choices.unmeasured()).toEqual([PROBLEM]);
  choices.set(PROBLEM, { variant: MEDIUM, parts: null });
  expect(choices.choose({ ...PROBLEM, rows: 450 }, GPU)).toEqual({ variant: MEDIUM, parts: null });
  expect(choices.choose({ ...PROBLEM, window: 128 }, GPU).variant, 'within a window it is another').toBe(LARGE);
  expect(choices.choose({ ...PROBLEM, window: 4096 }, GPU).variant, 'a window beyond all tokens is none').toBe(MEDIUM);
  choices.force({ variant: ATTENTION_MATRIX, parts: null });
  expect(choices.choose(PROBLEM, GPU).variant, 'no matrices in f32').toBe(MEDIUM);
  expect(choices.choose({ ...PROBLEM, precision: 'f16' }, GPU).variant).toBe(ATTENTION_MATRIX);
});

test('what was kept comes back; pinned, it is all there is', () => {
  const choices = new AttentionChoices();
  choices.set(PROBLEM, { variant: SMALL, parts: 4 });
  choices.set({ ...PROBLEM, pass: 'forward' }, { variant: MEDIUM, parts: null });
  const kept = JSON.parse(JSON.stringify(choices.kept()));
  const later = new AttentionChoices();
  later.set({ ...PROBLEM, heads: 12 }, { variant: SMALL, parts: null });
  later.pin({ ...kept, 'attention_forward 1, 1/1×1': ['GONE', 0], 'attention_forward 2, 1/1×1': ['SMALL', -1] });
  expect(later.kept()).toEqual(kept);
  expect(later.choose(PROBLEM, GPU)).toEqual({ variant: SMALL, parts: 4 });
});

test('candidates: none twice, each with its parts, and matrices alone where they are allowed', () => {
  const one = (most: number) => fc.integer({ min: 1, max: most });
  fc.assert(
    fc.property(one(8192), one(8), one(8), one(64), (rows, kvHeads, group, quarter) => {
      const problem: AttentionProblem = { ...PROBLEM, rows, kvHeads, heads: kvHeads * group, headDim: 4 * quarter };
      for (const pass of ['forward', 'backward_query', 'backward_key_value'] as const) {
        const found = attentionCandidates({ ...problem, pass }, GPU);
        expect(found.length).toBeGreaterThan(0);
        expect(new Set(found.map((choice) => JSON.stringify(choice))).size).toBe(found.length);
        if (pass !== 'backward_key_value') expect(found.every(({ parts }) => parts === null)).toBe(true);
      }
    }),
  );
  const rounded = attentionCandidates({ ...PROBLEM, precision: 'f16' }, GPU);
  expect(new Set(rounded.map(({ variant }) => variant))).toEqual(new Set([ATTENTION_MATRIX]));
});

test('documents to measure with hold every token once', () => {
  const rows = 1000;
  const documents = tunedDocuments(rows);
  for (let token = 0; token < rows; token++) {
    const [first, end] = documents.subarray(2 * token, 2 * token + 2);
    expect(first <= token && token < end && end <= rows).toBe(true);
    expect([...documents.subarray(2 * first, 2 * first + 2)]).toEqual([first, end]);
  }
});

test('forced by name', () => {
  expect(forcedAttention({ attention: 'MEDIUM', attention_parts: '2' })).toEqual({ variant: MEDIUM, parts: 2 });
  expect(forcedAttention({ tile: 'LARGE' })).toBe(null);
  expect(() => forcedAttention({ attention: 'HUGE' })).toThrow(/attention is one of/);
});
