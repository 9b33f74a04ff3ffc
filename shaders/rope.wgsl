// Rotary position embedding, half-split (Su et al. 2021; rotate_half in transformers), in place on the query and key
// heads of qkv. sign = 1 forward, −1 for the gradient (the transposed rotation). Tables are made on the CPU in float64:
// WGSL's own sin and cos are rough.
#include "common/indexing.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let pairs = params.heads * params.half;
  let token = index / pairs;
  if (token >= step.tokens) { return; }
  let head = (index % pairs) / params.half;
  let i = index % params.half;
  let angle = positions[token] * params.half + i;
  let c = cosines[angle];
  let s = sines[angle] * params.sign;
  let at = token * params.stride + head * params.head_dim + i;
  let a = x[at];
  let b = x[at + params.half];
  x[at] = a * c - b * s;
  x[at + params.half] = b * c + a * s;
}
