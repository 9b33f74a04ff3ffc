// delta [heads, T] = Σ_d do·o: what the softmax's gradient subtracts from each row.
#include "common/indexing.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let token = index / params.heads;
  if (token >= step.tokens) { return; }
  var sum = 0.0;
  for (var d = 0u; d < HEAD_DIM; d++) { sum += d_o[index * HEAD_DIM + d] * o[index * HEAD_DIM + d]; }
  delta[(index % params.heads) * params.capacity + token] = sum;
}
