// RMSNorm of each query and key head on its own, in place in rows of qkv (Henry et al. 2020; Qwen3, Gemma 3); the heads as
// they were go to raw [T, (heads + kv_heads) · width], for the backward pass. A workgroup a head of a token; rows and heads are
// counted in Numbers.
#include "common/indexing.wgsl"
#include "common/reduce.wgsl"
#include "common/head_norm.wgsl"

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups);
  let token = index / (params.heads + params.kv_heads);
  if (token >= step.tokens) { return; }
  let head = index % (params.heads + params.kv_heads);
  let at = token * params.stride + head * params.width;
  let weight_at = select(params.key_at, params.query_at, head < params.heads);
  var squares = Number(0.0);
  for (var c = lane; c < params.width; c += GROUP) { squares += load_qkv(at + c) * load_qkv(at + c); }
  let mean = reduce_sum(total(squares), lane) / f32(params.width * NUMBER_ELEMENTS);
  let scale = inverseSqrt(mean + params.epsilon);
  for (var c = lane; c < params.width; c += GROUP) {
    let x = load_qkv(at + c);
    store_raw(index * params.width + c, x);
    store_qkv(at + c, x * scale * weight_number(weight_at, c));
  }
}
