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
