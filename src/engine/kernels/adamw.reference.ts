import { DYNAMIC_MAP, midpoints, UNSIGNED_DYNAMIC_MAP } from './nf4_codebook.ts';

/** √Σ g² over all gradients, and torch's clip_grad_norm_ coefficient min(1, c / (norm + 1e-6)). */
export function gradNormReference(gradients: ArrayLike<number>, maxGradNorm: number): { norm: number; clip: number } {
  let squares = 0;
  for (let i = 0; i < gradients.length; i++) squares += gradients[i] ** 2;
  const norm = Math.sqrt(squares);
  return { norm, clip: Math.min(1, maxGradNorm / (norm + 1e-6)) };
}

export interface AdamwOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** t, from 1. */
  readonly step: number;
  /** Multiplies the gradient. */
  readonly clip: number;
}

export interface AdamwState {
  readonly parameters: Float64Array<ArrayBuffer>;
  readonly moment1: Float64Array<ArrayBuffer>;
  readonly moment2: Float64Array<ArrayBuffer>;
}

/** One step of AdamW (Loshchilov & Hutter 2019, algorithm 2) in torch.optim.AdamW's order; makes new arrays. */
export function adamwReference(state: AdamwState, gradients: ArrayLike<number>, options: AdamwOptions): AdamwState {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step, clip } = options;
  const moment1 = state.moment1.map((m, i) => beta1 * m + (1 - beta1) * clip * gradients[i]);
  const moment2 = state.moment2.map((v, i) => beta2 * v + (1 - beta2) * (clip * gradients[i]) ** 2);
  const parameters = state.parameters.map((p, i) => {
    const m = moment1[i] / (1 - beta1 ** step);
    const v = moment2[i] / (1 - beta2 ** step);
    return p * (1 - learningRate * weightDecay) - (learningRate * m) / (Math.sqrt(v) + epsilon);
  });
  return { parameters, moment1, moment2 };
}

/** Moments in 8 bits: a code an element, the largest of each block of 256. */
export interface CodedMoments {
  readonly codes: Uint8Array<ArrayBuffer>;
  readonly largest: Float32Array<ArrayBuffer>;
}

const BLOCK = 256;
const TABLES = { moment1: DYNAMIC_MAP, moment2: UNSIGNED_DYNAMIC_MAP } as const;
export type Moment = keyof typeof TABLES;

export const decodeMoments = ({ codes, largest }: CodedMoments, moment: Moment): Float64Array<ArrayBuffer> =>
  Float64Array.from(codes, (code, i) => TABLES[moment][code] * largest[Math.floor(i / BLOCK)]);

/** The nearest codes of the dynamic map, the lower one of two; the largest of each block in f32. */
export function codeMoments(values: Float64Array, moment: Moment): CodedMoments {
  const thresholds = midpoints(TABLES[moment]);
  const largest = new Float32Array(Math.ceil(values.length / BLOCK));
  values.forEach((value, i) => {
    const block = Math.floor(i / BLOCK);
    largest[block] = Math.max(largest[block], Math.abs(value));
  });
  const codes = Uint8Array.from(values, (value, i) => {
    const scale = largest[Math.floor(i / BLOCK)];
    const x = scale > 0 ? value / scale : 0;
    return thresholds.filter((threshold) => x > threshold).length;
  });
  return { codes, largest };
}

/** {@link adamwReference} from moments in 8 bits, and their codes afterwards (bitsandbytes' AdamW8bit on a CPU). */
export function adamw8bitReference(
  state: { readonly parameters: Float64Array<ArrayBuffer> } & Record<Moment, CodedMoments>,
  gradients: ArrayLike<number>,
  options: AdamwOptions,
): AdamwState & { readonly coded: Record<Moment, CodedMoments> } {
  const decoded = {
    parameters: state.parameters,
    moment1: decodeMoments(state.moment1, 'moment1'),
    moment2: decodeMoments(state.moment2, 'moment2'),
  };
  const after = adamwReference(decoded, gradients, options);
  const coded = {
    moment1: codeMoments(after.moment1, 'moment1'),
    moment2: codeMoments(after.moment2, 'moment2'),
  };
  return { ...after, coded };
}
