/** 1 / (1 + e^−x), without overflow. */
export const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

/** y = gate·σ(gate) · up (Shazeer 2020, eq. 5); gateUp [T, 2·width], gate first. */
export function swigluReference(gateUp: ArrayLike<number>, width: number): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: gateUp.length / 2 }, (_, i) => {
    const at = Math.floor(i / width) * 2 * width + (i % width);
    return gateUp[at] * sigmoid(gateUp[at]) * gateUp[at + width];
  });
}

/** d gate = dy·up·σ·(1 + gate·(1 − σ)), d up = dy·gate·σ. */
export function swigluBackwardReference(
  gateUp: ArrayLike<number>,
  dy: ArrayLike<number>,
  width: number,
): Float64Array<ArrayBuffer> {
  const dGateUp = new Float64Array(gateUp.length);
  for (let i = 0; i < dy.length; i++) {
    const at = Math.floor(i / width) * 2 * width + (i % width);
    const gate = gateUp[at];
    const s = sigmoid(gate);
    dGateUp[at] = dy[i] * gateUp[at + width] * s * (1 + gate * (1 - s));
    dGateUp[at + width] = dy[i] * gate * s;
  }
  return dGateUp;
}
