// AdamW over moments in f32. They lie in pages: of each PAGE parameters the first moments, then the second ones.
// A negative clip coefficient means that the gradient is not a number: nothing changes.
#include "common/indexing.wgsl"
#include "common/adamw.wgsl"

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group, groups) * 256u + lane;
  if (i >= params.elements || clip[0] < 0.0) { return; }
  let g = gradients[i] * clip[0];
  let at = i / PAGE * 2u * PAGE + i % PAGE;
  let m = step.beta1 * moments[at] + step.one_minus_beta1 * g;
  let v = step.beta2 * moments[at + PAGE] + step.one_minus_beta2 * g * g;
  moments[at] = m;
  moments[at + PAGE] = v;
  update(i, m, v);
}
