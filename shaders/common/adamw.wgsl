// AdamW's update of one parameter (Loshchilov & Hutter 2019) in PyTorch's order: decay first.
// TWO_RATES: parameters behind an odd number of borders (elements of the bank, ascending) learn at the second rate.

#if TWO_RATES
// Borders at or before element i, by bisection.
fn borders_passed(i: u32) -> u32 {
  var low = 0u;
  var high = params.borders;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (borders[middle] <= i) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}
#endif

// Parameter i of the dispatch, with its moments as they are after this step's gradient.
fn update(i: u32, m: f32, v: f32) {
  var decay = step.decay;
  var step_size = step.step_size;
#if TWO_RATES
  if (borders_passed(params.first + i) % 2u == 1u) {
    decay = step.second_decay;
    step_size = step.second_step_size;
  }
#endif
  let denominator = sqrt(v) * step.inverse_sqrt_bias_correction2 + step.epsilon;
  parameters[i] = parameters[i] * decay - step_size * m / denominator;
}
