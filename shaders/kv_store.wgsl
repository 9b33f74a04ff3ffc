// Keys and values of a micro-batch's tokens into the cache, each at its slot (a sequence) and position. qkv [T, stride].
// A head is HEAD_VECTORS vectors of four, zeros behind its end. keys [slots, kv_heads, HEAD_VECTORS, context]: the
// invocations of a workgroup take a key each, and neighbours lie side by side; values [slots, kv_heads, context,
// HEAD_VECTORS]: there they take a vector each.
#include "common/indexing.wgsl"

fn vector_at(head: u32, v: u32) -> vec4<f32> {
  var vector = vec4<f32>(0.0);
#for e 4
  if (4u * v + {e}u < HEAD_DIM) { vector[{e}] = qkv[head + 4u * v + {e}u]; }
#endfor
  return vector;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let v = index % HEAD_VECTORS;
  let head = (index / HEAD_VECTORS) % params.kv_heads;
  let token = index / (HEAD_VECTORS * params.kv_heads);
  if (token >= step.tokens) { return; }
  let position = positions[token];
  if (position >= params.context) { return; }
  let row = slots[token] * params.kv_heads + head;
  let row_at = token * params.stride + head * HEAD_DIM;
  keys[(row * HEAD_VECTORS + v) * params.context + position] = vector_at(row_at + params.k_at, v);
  values[(row * params.context + position) * HEAD_VECTORS + v] = vector_at(row_at + params.v_at, v);
}
