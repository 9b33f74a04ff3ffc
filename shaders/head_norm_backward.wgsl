// The gradient of head_norm's input, in place in rows of d_qkv: s·w·dy − x·s³/C·Σ(w·dy·x) for each query and key head,
// x from raw. The weights are frozen. A workgroup a head of a token; rows and heads are counted in Numbers.
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
  let raw_at = index * params.width;
  let weight_at = select(params.key_at, params.query_at, head < params.heads);
  var squares = Number(0.0);
  var product = Number(0.0);
  for (var c = lane; c < params.width; c += GROUP) {
    let x = load_raw(raw_at + c);
    squares += x * x;
    product += x * d_qkv[at + c] * weight_number(weight_at, c);
  }
  let width = f32(params.width * NUMBER_ELEMENTS);
  let scale = inverseSqrt(reduce_sum(total(squares), lane) / width + params.epsilon);
  let correction = reduce_sum(total(product), lane) * scale * scale * scale / width;
  for (var c = lane; c < params.width; c += GROUP) {
    d_qkv[at + c] = d_qkv[at + c] * weight_number(weight_at, c) * scale - load_raw(raw_at + c) * correction;
  }
}
