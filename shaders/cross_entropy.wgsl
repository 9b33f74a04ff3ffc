// A chunk of logits to each token's negative log likelihood, and the logits, in place, to their gradient
// (softmax − onehot) / N. A token with target −1 is not trained: nothing lost, gradient 0. A workgroup a token.
#include "common/indexing.wgsl"
#include "common/reduce.wgsl"

var<workgroup> shared_target: i32;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = workgroup_index(group, groups);
  let token = params.first_token + row;
  if (row >= params.rows || token >= step.tokens) { return; }
  let base = row * params.vocab;
  if (lane == 0u) { shared_target = targets[token]; }
  let target_id = workgroupUniformLoad(&shared_target);
  if (target_id < 0) {
    if (lane == 0u) {
      loss[token * 2u] = 0.0;
      loss[token * 2u + 1u] = 0.0;
    }
    if (GRADIENT) { for (var c = lane; c < params.vocab; c += GROUP) { logits[base + c] = 0.0; } }
    return;
  }
  var top = -3.0e38;
  for (var c = lane; c < params.vocab; c += GROUP) { top = max(top, logits[base + c]); }
  top = reduce_max(top, lane);
  var sum = 0.0;
  for (var c = lane; c < params.vocab; c += GROUP) { sum += exp(logits[base + c] - top); }
  sum = reduce_sum(sum, lane);
  if (lane == 0u) {
    let wanted = logits[base + u32(target_id)];
    loss[token * 2u] = log(sum) + (top - wanted);
    loss[token * 2u + 1u] = select(0.0, 1.0, wanted == top);
  }
  // The target's logit has been read before it is overwritten.
  storageBarrier();
  if (GRADIENT) {
    for (var c = lane; c < params.vocab; c += GROUP) {
      let probability = exp(logits[base + c] - top) / sum;
      logits[base + c] = (probability - select(0.0, 1.0, c == u32(target_id))) * step.inverse_trained_tokens;
    }
  }
}
