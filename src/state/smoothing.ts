/**
 * Exponential moving average without the bias of its zero start (Kingma & Ba 2015, §3: divide by 1 − βᵗ), so that the
 * smoothed curve begins at the first value. `beta` in [0, 1); 0 gives the values back.
 */
export function smooth(values: readonly number[], beta: number): number[] {
  let average = 0;
  let weight = 1;
  return values.map((value) => {
    average = beta * average + (1 - beta) * value;
    weight *= beta;
    return average / (1 - weight);
  });
}
