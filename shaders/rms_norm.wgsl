// y = x / √(mean(x²) + ε) · weight, statistics in f32 (Zhang & Sennrich 2019); with RESIDUAL added to the residual stream.
// A workgroup a token; rows are counted in Numbers.
#include "common/indexing.wgsl"
#include "common/number.wgsl"
#include "common/reduce.wgsl"

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let token = workgroup_index(group, groups);
  if (token >= step.tokens) { return; }
  let row = token * params.width;
  var squares = Number(0.0);
  for (var c = lane; c < params.width; c += GROUP) { squares += x[row + c] * x[row + c]; }
  let mean = reduce_sum(total(squares), lane) / f32(params.width * NUMBER_ELEMENTS);
  let scale = inverseSqrt(mean + params.epsilon);
  for (var c = lane; c < params.width; c += GROUP) {
    let normed = x[row + c] * scale * weight[params.weight_at + c];
#if RESIDUAL
    store_y(row + c, residual[row + c] + normed);
#else
    store_y(row + c, normed);
#endif
  }
}
