// AdamW (Loshchilov & Hutter 2019) in PyTorch's order: decay, moments of the clipped gradient, update.
// A negative clip coefficient means that the gradient is not a number: nothing changes.
// TWO_RATES: parameters behind an odd number of borders (elements, ascending) learn at the second rate.
#include "common/indexing.wgsl"

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

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group, groups) * 256u + lane;
  if (i >= params.elements || clip[0] < 0.0) { return; }
  let g = gradients[i] * clip[0];
  let m = step.beta1 * moment1[i] + step.one_minus_beta1 * g;
  let v = step.beta2 * moment2[i] + step.one_minus_beta2 * g * g;
  moment1[i] = m;
  moment2[i] = v;
  var decay = step.decay;
  var step_size = step.step_size;
#if TWO_RATES
  if (borders_passed(i) % 2u == 1u) {
    decay = step.second_decay;
    step_size = step.second_step_size;
  }
#endif
  let denominator = sqrt(v) * step.inverse_sqrt_bias_correction2 + step.epsilon;
  parameters[i] = parameters[i] * decay - step_size * m / denominator;
}
