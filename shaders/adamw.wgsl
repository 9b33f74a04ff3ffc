// AdamW (Loshchilov & Hutter 2019) in PyTorch's order: decay, moments of the clipped gradient, update.
// A negative clip coefficient means that the gradient is not a number: nothing changes.
#include "common/indexing.wgsl"

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group, groups) * 256u + lane;
  if (i >= params.elements || clip[0] < 0.0) { return; }
  let g = gradients[i] * clip[0];
  let m = step.beta1 * moment1[i] + step.one_minus_beta1 * g;
  let v = step.beta2 * moment2[i] + step.one_minus_beta2 * g * g;
  moment1[i] = m;
  moment2[i] = v;
  let denominator = sqrt(v) * step.inverse_sqrt_bias_correction2 + step.epsilon;
  parameters[i] = parameters[i] * step.decay - step.step_size * m / denominator;
}
