import type { Activation } from './swiglu.ts';

/** 1 / (1 + e^−x), without overflow. */
export const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

interface Gate {
  readonly value: number;
  readonly slope: number;
}

/** x·σ(x) and its derivative. */
function silu(x: number): Gate {
  const s = sigmoid(x);
  return { value: x * s, slope: s * (1 + x * (1 - s)) };
}

/** x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))) (Hendrycks & Gimpel 2016) and its derivative. */
function geluTanh(x: number): Gate {
  const root = Math.sqrt(2 / Math.PI);
  const t = Math.tanh(root * (x + 0.044715 * x ** 3));
  return { value: (x / 2) * (1 + t), slope: (1 + t) / 2 + (x / 2) * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x) };
}

const GATES: Record<Activation, (x: number) => Gate> = { silu, gelu_tanh: geluTanh };

/** y = f(gate) · up (Shazeer 2020, eq. 5 and 6); gateUp [T, 2·width], gate first. */
export function swigluReference(
  gateUp: ArrayLike<number>,
  width: number,
  activation: Activation = 'silu',
): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: gateUp.length / 2 }, (_, i) => {
    const at = Math.floor(i / width) * 2 * width + (i % width);
    return GATES[activation](gateUp[at]).value * gateUp[at + width];
  });
}

/** d gate = dy·up·f′(gate), d up = dy·f(gate). */
export function swigluBackwardReference(
  gateUp: ArrayLike<number>,
  dy: ArrayLike<number>,
  width: number,
  activation: Activation = 'silu',
): Float64Array<ArrayBuffer> {
  const dGateUp = new Float64Array(gateUp.length);
  for (let i = 0; i < dy.length; i++) {
    const at = Math.floor(i / width) * 2 * width + (i % width);
    const { value, slope } = GATES[activation](gateUp[at]);
    dGateUp[at] = dy[i] * gateUp[at + width] * slope;
    dGateUp[at + width] = dy[i] * value;
  }
  return dGateUp;
}
