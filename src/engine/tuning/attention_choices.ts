/** Which variant each pass of attention gets, and into how many parts its queries are cut. */
import type { Capabilities } from '../device/capabilities.ts';
import {
  ATTENTION_MATRIX,
  ATTENTION_VARIANTS,
  type AttentionPass,
  type AttentionVariant,
  chooseAttentionParts,
  chooseAttentionVariant,
  matrixHeads,
} from '../kernels/attention_variant.ts';
import type { Precision } from '../kernels/matmul_tile.ts';
import { type KeptChoices, MeasuredChoices, type TunedProblem } from './measured_choices.ts';

/** `rows`: the plan's capacity in tokens. */
export interface AttentionProblem extends TunedProblem {
  readonly pass: AttentionPass;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Keys that a query sees at most; null for all of its document. */
  readonly window: number | null;
  /** What operands may be rounded to. */
  readonly precision: Precision;
}

export interface AttentionChoice {
  readonly variant: AttentionVariant;
  /** As of {@link chooseAttentionParts}; null in the other passes. */
  readonly parts: number | null;
}

const VARIANTS: Readonly<Record<string, AttentionVariant>> = {
  ...ATTENTION_VARIANTS,
  [ATTENTION_MATRIX]: ATTENTION_MATRIX,
};
const variantName = (variant: AttentionVariant) =>
  Object.entries(VARIANTS).find(([, known]) => known === variant)?.[0] ?? '';

export class AttentionChoices extends MeasuredChoices<AttentionProblem, AttentionChoice> {
  override key({ pass, rows, heads, kvHeads, headDim, window, precision }: AttentionProblem): string {
    const seen = window === null || window >= rows ? '' : ` within ${window}`;
    return `attention_${pass} ${rows}, ${heads}/${kvHeads}×${headDim}${seen}${precision === 'f32' ? '' : ` ${precision}`}`;
  }

  protected override byRule(problem: AttentionProblem, capabilities: Capabilities): AttentionChoice {
    const { pass, rows, precision } = problem;
    const variant = chooseAttentionVariant(pass, problem, rows, capabilities, precision);
    const splits = pass === 'backward_key_value';
    return { variant, parts: splits ? chooseAttentionParts(problem, rows, variant, capabilities) : null };
  }

  protected override fits({ headDim, precision }: AttentionProblem, { variant }: AttentionChoice): boolean {
    return variant !== ATTENTION_MATRIX || (precision === 'f16' && matrixHeads(headDim));
  }

  protected override write({ variant, parts }: AttentionChoice): KeptChoices[string] {
    return [variantName(variant), parts ?? 0];
  }

  protected override read([name, parts]: KeptChoices[string]): AttentionChoice | null {
    const variant: AttentionVariant | undefined = VARIANTS[name];
    return variant && Number.isInteger(parts) && parts >= 0 ? { variant, parts: parts === 0 ? null : parts } : null;
  }
}

/**
 * What `--variant attention=MEDIUM,attention_parts=2` forces; null when it names none.
 *
 * @throws RangeError when there is no such variant.
 */
export function forcedAttention(values: Readonly<Record<string, string>>): AttentionChoice | null {
  const { attention, attention_parts: parts = '0' } = values;
  if (attention === undefined) return null;
  const variant: AttentionVariant | undefined = VARIANTS[attention];
  if (!variant) throw new RangeError(`attention is one of ${Object.keys(VARIANTS).join(', ')}, not ${attention}`);
  return { variant, parts: Number(parts) || null };
}
