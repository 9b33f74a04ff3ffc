// A chunk of logits to each token's negative log likelihood, and the logits, in place, to their gradient
// (softmax − onehot) / N. A token with target −1 is not trained: nothing lost, gradient 0. A workgroup a token reads the
// row once for its maximum and Σ exp, rescaling what it has when the maximum grows (Milakov & Gimelshein 2018), and with
// GRADIENT once more. CAPPED: logits are soft-capped, and the gradient is that of what they were before. VECTORS: the vocabulary is whole groups of four and logits are bound as vectors.
#include "common/indexing.wgsl"
#include "common/reduce.wgsl"
#include "common/soft_cap.wgsl"

var<workgroup> shared_target: i32;

#if VECTORS
const WIDE = 4u;
const NOTHING = vec4<f32>(0.0);
fn largest(v: vec4<f32>) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn total(v: vec4<f32>) -> f32 { return v.x + v.y + v.z + v.w; }
fn onehot(c: u32, id: u32) -> vec4<f32> {
  return select(vec4<f32>(0.0), vec4<f32>(1.0), vec4<u32>(c * 4u, c * 4u + 1u, c * 4u + 2u, c * 4u + 3u) == vec4<u32>(id));
}
fn logit(base: u32, id: u32) -> f32 { return logits[base + id / 4u][id % 4u]; }
fn slope(v: vec4<f32>) -> vec4<f32> { return soft_cap_slope(v, params.cap); }
#else
const WIDE = 1u;
const NOTHING = 0.0;
fn largest(v: f32) -> f32 { return v; }
fn total(v: f32) -> f32 { return v; }
fn onehot(c: u32, id: u32) -> f32 { return select(0.0, 1.0, c == id); }
fn logit(base: u32, id: u32) -> f32 { return logits[base + id]; }
fn slope(v: f32) -> f32 { return soft_cap_slope(vec4<f32>(v), params.cap).x; }
#endif

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = workgroup_index(group, groups);
  let token = params.first_token + row;
  if (row >= params.rows || token >= step.tokens) { return; }
  let count = params.vocab / WIDE;
  let base = row * count;
  if (lane == 0u) { shared_target = targets[token]; }
  let target_id = workgroupUniformLoad(&shared_target);
  if (target_id < 0) {
    if (lane == 0u) {
      loss[token * 2u] = 0.0;
      loss[token * 2u + 1u] = 0.0;
    }
    if (GRADIENT) { for (var c = lane; c < count; c += GROUP) { logits[base + c] = NOTHING; } }
    return;
  }
  var own_top = -3.0e38;
  var own_sum = 0.0;
  for (var c = lane; c < count; c += GROUP) {
    let v = logits[base + c];
    let top = max(own_top, largest(v));
    own_sum = own_sum * exp(own_top - top) + total(exp(v - top));
    own_top = top;
  }
  let top = reduce_max(own_top, lane);
  let sum = reduce_sum(own_sum * exp(own_top - top), lane);
  if (lane == 0u) {
    let wanted = logit(base, u32(target_id));
    loss[token * 2u] = log(sum) + (top - wanted);
    loss[token * 2u + 1u] = select(0.0, 1.0, wanted == top);
  }
  // The target's logit has been read before it is overwritten.
  storageBarrier();
  if (GRADIENT) {
    for (var c = lane; c < count; c += GROUP) {
      let value = logits[base + c];
      let probability = exp(value - top) / sum;
#if CAPPED
      logits[base + c] = (probability - onehot(c, u32(target_id))) * step.inverse_trained_tokens * slope(value);
#else
      logits[base + c] = (probability - onehot(c, u32(target_id))) * step.inverse_trained_tokens;
#endif
    }
  }
}
