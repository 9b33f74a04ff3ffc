// The gradient through dropout: dx [T, width] += dropout(du·A) for one module, du [T, du_stride] from a column offset, A
// [rank, width]. ADDEND: += dropout(du·A + addend), addend [T, width]. The mask is dropout.wgsl's.
#include "common/indexing.wgsl"
#include "common/philox.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let token = index * 4u / params.padded;
  if (token >= step.tokens) { return; }
  let column = index * 4u % params.padded;
  let last = params.width - 1u;
  let columns = min(vec4<u32>(column, column + 1u, column + 2u, column + 3u), vec4<u32>(last));
  var sum = vec4<f32>(0.0);
  for (var r = 0u; r < params.rank; r++) {
    let i = vec4<u32>(params.a_at + r * params.width) + columns;
    sum += du[token * params.du_stride + params.du_at + r] * vec4<f32>(lora[i.x], lora[i.y], lora[i.z], lora[i.w]);
  }
#if ADDEND
  let row = vec4<u32>(token * params.width) + columns;
  sum += vec4<f32>(addend[row.x], addend[row.y], addend[row.z], addend[row.w]);
#endif
  sum *= dropout_factors(index);
  for (var e = 0u; e < 4u; e++) {
    if (column + e < params.width) { dx[token * params.width + column + e] += sum[e]; }
  }
}
