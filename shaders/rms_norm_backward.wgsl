// dx (+)= s·w·dy − x·s³/C·Σ(w·dy·x), s = 1/√(mean(x²) + ε). ACCUMULATE adds to what is there: the residual stream's
// gradient. With NORMED the forward result comes beside it, for the gradient of the adapters that read it, so that it
// need not be kept. The weight is frozen. A workgroup a token; rows are counted in
// Numbers.
#include "common/indexing.wgsl"
#include "common/number.wgsl"
#include "common/reduce.wgsl"

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let token = workgroup_index(group, groups);
  if (token >= step.tokens) { return; }
  let row = token * params.width;
  var squares = Number(0.0);
  var product = Number(0.0);
  for (var c = lane; c < params.width; c += GROUP) {
    squares += x[row + c] * x[row + c];
    product += x[row + c] * dy[row + c] * weight[params.weight_at + c];
  }
  let width = f32(params.width * NUMBER_ELEMENTS);
  let scale = inverseSqrt(reduce_sum(total(squares), lane) / width + params.epsilon);
  let correction = reduce_sum(total(product), lane) * scale * scale * scale / width;
  for (var c = lane; c < params.width; c += GROUP) {
    let gradient = dy[row + c] * weight[params.weight_at + c] * scale - x[row + c] * correction;
    if (ACCUMULATE) { dx[row + c] += gradient; } else { dx[row + c] = gradient; }
#if NORMED
    store_normed(row + c, x[row + c] * scale * weight[params.weight_at + c]);
#endif
  }
}
