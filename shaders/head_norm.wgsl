// RMSNorm of each query and key head on its own, in place in rows of qkv (Henry et al. 2020; Qwen3, Gemma 3); the heads as
// they were go to raw [T, (heads + kv_heads) · width], for the backward pass. A workgroup a head of a token.
#include "common/indexing.wgsl"
#include "common/reduce.wgsl"

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups);
  let token = index / (params.heads + params.kv_heads);
  if (token >= step.tokens) { return; }
  let head = index % (params.heads + params.kv_heads);
  let at = token * params.stride + head * params.width;
  let weight_at = select(params.key_at, params.query_at, head < params.heads);
  var squares = 0.0;
  for (var c = lane; c < params.width; c += GROUP) { squares += qkv[at + c] * qkv[at + c]; }
  let scale = inverseSqrt(reduce_sum(squares, lane) / f32(params.width) + params.epsilon);
  for (var c = lane; c < params.width; c += GROUP) {
    let x = qkv[at + c];
    raw[index * params.width + c] = x;
    qkv[at + c] = x * scale * weight[weight_at + c];
  }
}
