/** Which variants of attention are worth measuring, and the passes to measure them with. */
import {
  type AttentionShape,
  attentionBackwardKeyValue,
  attentionBackwardQuery,
  attentionForward,
} from '../kernels/attention.ts';
import {
  ATTENTION_MATRIX,
  ATTENTION_VARIANTS,
  type AttentionVariant,
  chooseAttentionParts,
  matrixHeads,
} from '../kernels/attention_variant.ts';
import type { AttentionChoice, AttentionProblem } from './attention_choices.ts';
import type { Tuning } from './tuning.ts';

const { WIDE, TALL, LARGE, MEDIUM, SMALL, NARROW } = ATTENTION_VARIANTS;

/** Tiles that a head's registers allow: a wide head with many rows would spill. */
function variantsFor({ pass, headDim, precision }: AttentionProblem): readonly AttentionVariant[] {
  if (precision === 'f16' && matrixHeads(headDim)) return [ATTENTION_MATRIX];
  if (headDim > 128) return [SMALL];
  if (headDim > 64) return pass === 'backward_key_value' ? [MEDIUM, SMALL] : [LARGE, MEDIUM, SMALL];
  if (headDim <= 32) return [NARROW, MEDIUM, SMALL];
  // Four sets of registers are too many for 8 × 8 scores an invocation.
  return [LARGE, TALL, MEDIUM, SMALL, NARROW, ...(pass === 'backward_key_value' ? [] : [WIDE])];
}

/** Of the gradients of keys and values: unsplit, as the rule has it, and twice that. */
export function attentionCandidates(
  problem: AttentionProblem,
  capabilities: Parameters<typeof chooseAttentionParts>[3],
): AttentionChoice[] {
  return variantsFor(problem).flatMap((variant) => {
    if (problem.pass !== 'backward_key_value') return [{ variant, parts: null }];
    const parts = chooseAttentionParts(problem, problem.rows, variant, capabilities);
    const cuts = parts === null ? [null, 1] : [null, parts, 2 * parts];
    return cuts.map((cut) => ({ variant, parts: cut }));
  });
}

/** Half of the tokens in one document, the rest in documents of this many: training sees both. */
const SHORT = 256;

/** [rows, 2]: first token of each token's document, one after its last. */
export function tunedDocuments(rows: number): Uint32Array<ArrayBuffer> {
  const documents = new Uint32Array(2 * rows);
  const half = Math.ceil(rows / 2);
  for (let token = 0; token < rows; token++) {
    const first = token < half ? 0 : half + Math.floor((token - half) / SHORT) * SHORT;
    documents[2 * token] = first;
    documents[2 * token + 1] = token < half ? half : Math.min(rows, first + SHORT);
  }
  return documents;
}

const qkvWidth = ({ heads, kvHeads, headDim }: AttentionProblem) => (heads + 2 * kvHeads) * headDim;

export const attentionTuning: Tuning<AttentionProblem, AttentionChoice> = {
  choices: (gpu) => gpu.attentionChoices,
  // Half of the pairs of all documents, 2, 3 or 4 products of each.
  cost: ({ rows, heads, headDim, pass }) =>
    ((rows * rows) / 8) * heads * headDim * { forward: 2, backward_query: 3, backward_key_value: 4 }[pass],
  scratchBytes: (problem) => {
    const { rows, heads, headDim } = problem;
    const parts = problem.pass === 'backward_key_value' ? 16 : 0;
    return 4 * rows * (2 * qkvWidth(problem) + (2 + parts) * heads * headDim);
  },
  candidates: (problem, { capabilities }) => attentionCandidates(problem, capabilities),
  record(plan, problem, { variant, parts }, scratch) {
    const { pass, rows, heads, kvHeads, headDim, window } = problem;
    const shape: AttentionShape = { heads, kvHeads, headDim, scale: headDim ** -0.5, window };
    const floats = (name: string, count: number) => scratch.tensor(name, count * 4);
    const documents = scratch.put('documents', tunedDocuments(rows));
    const forward = {
      shape,
      qkv: floats('x', rows * qkvWidth(problem)),
      documents,
      o: floats('o', rows * heads * headDim),
      lse: floats('lse', heads * rows),
      variant,
    };
    if (pass === 'forward') {
      attentionForward(plan, forward);
      return;
    }
    const backward = {
      ...forward,
      dO: floats('dO', rows * heads * headDim),
      delta: floats('delta', heads * rows),
      dQkv: floats('y', rows * qkvWidth(problem)),
      // Most models turn them back: in the dispatch that adds parts, or in one more.
      rope: {
        positions: floats('positions', rows),
        tables: { cosines: floats('cosines', headDim / 2), sines: floats('sines', headDim / 2), half: headDim / 2 },
      },
    };
    if (pass === 'backward_query') attentionBackwardQuery(plan, backward);
    else attentionBackwardKeyValue(plan, { ...backward, parts });
  },
};
