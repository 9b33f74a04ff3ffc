// Soft-caps a chunk of logits in place. VECTORS: a row is whole groups of four and logits are bound as vectors.
#include "common/indexing.wgsl"
#include "common/soft_cap.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let row = index / params.width;
  if (row >= params.rows || params.first_token + row >= step.tokens) { return; }
#if VECTORS
  x[index] = soft_cap(x[index], params.cap);
#else
  x[index] = soft_cap(vec4<f32>(x[index]), params.cap).x;
#endif
}
