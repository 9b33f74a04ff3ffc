// y = dropout(x), or with other factors what it takes away, x − dropout(x): x [T, x_stride] from a column offset, y [T, padded]
// with padded = width rounded up to a multiple of 4, which counts the elements of the random numbers too. VECTORS: every row is whole groups of four, bound as vectors.
#include "common/indexing.wgsl"
#include "common/philox.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let token = index * 4u / params.padded;
  if (token >= step.tokens) { return; }
  let column = index * 4u % params.padded;
  let factors = dropout_factors(index);
  let at = token * params.x_stride + params.x_at;
#if VECTORS
  store_y(index, factors * load_x((at + column) / 4u));
#else
  for (var e = 0u; e < 4u; e++) {
    if (column + e < params.width) { y[token * params.width + column + e] = factors[e] * x[at + column + e]; }
  }
#endif
}
