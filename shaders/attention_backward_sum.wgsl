// Adds the partial gradients of keys and values that attention_backward_key_value wrote with SPLIT, over each group's
// query heads and the parts, into d_qkv. With ROPE it also turns the gradients of queries (in place) and keys back, so
// that they are those of the projections' outputs: half-split RoPE transposed (Su et al. 2021). One invocation two
// dimensions of one head of one token: a rotated pair, or what is left over two by two.
#include "common/indexing.wgsl"

const PAIRS = (HEAD_DIM + 1u) / 2u;

fn partial_sum(token: u32, kv_head: u32, is_value: bool, d: u32) -> f32 {
  let count = params.group * params.parts;
  let first = (token * params.kv_heads + kv_head) * count * 2u + select(0u, 1u, is_value);
  var sum = 0.0;
  for (var n = 0u; n < count; n++) { sum += partials[(first + 2u * n) * HEAD_DIM + d]; }
  return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let i = index % PAIRS;
#if ROPE
  let head = (index / PAIRS) % (params.heads + 2u * params.kv_heads);
  let token = index / PAIRS / (params.heads + 2u * params.kv_heads);
#else
  let head = params.heads + (index / PAIRS) % (2u * params.kv_heads);
  let token = index / PAIRS / (2u * params.kv_heads);
#endif
  if (token >= step.tokens) { return; }
  let is_value = head >= params.heads + params.kv_heads;
  let head_at = (token * (params.heads + 2u * params.kv_heads) + head) * HEAD_DIM;
#if ROPE
  let rotated = i < params.half && !is_value;
  let d0 = select(2u * i, i, rotated);
  let d1 = select(2u * i + 1u, i + params.half, rotated);
#else
  let d0 = 2u * i;
  let d1 = 2u * i + 1u;
#endif
  var a = 0.0;
  var b = 0.0;
  if (head < params.heads) {
#if ROPE
    a = d_qkv[head_at + d0];
    b = d_qkv[head_at + d1];
#endif
  } else {
    let kv_head = (head - params.heads) % params.kv_heads;
    a = partial_sum(token, kv_head, is_value, d0);
    if (d1 < HEAD_DIM) { b = partial_sum(token, kv_head, is_value, d1); }
  }
#if ROPE
  if (rotated) {
    let c = cosines[positions[token] * params.half + i];
    let s = sines[positions[token] * params.half + i];
    let turned = a * c + b * s;
    b = b * c - a * s;
    a = turned;
  }
#endif
  d_qkv[head_at + d0] = a;
  if (d1 < HEAD_DIM) { d_qkv[head_at + d1] = b; }
}
