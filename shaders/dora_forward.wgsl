// y = (magnitude / norm)·z (+ bias) (+ residual), z [T, width] = W·x + s·B(A·x) of linears whose outputs lie side by side.
// BESIDE: beside [T, width] is added too; it has all of a linear without an adapter, whose z is not looked at.
// STRENGTH: the factor goes from 1 to that as strength [T] goes from 0 to 1, token by token.
#include "common/indexing.wgsl"
#include "common/dora.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  if (index >= step.tokens * params.width) { return; }
  let column = index % params.width;
  let out = output_of(column);
  var factor = factor_of(out, column);
#if STRENGTH
  factor = mix(1.0, factor, strength[index / params.width]);
#endif
  var sum = factor * z[index];
#if BESIDE
  sum = select(0.0, sum, out.adapted != 0u) + beside[index];
#endif
#if BIAS
  // A linear without bias among ones with has bias_at = 0.
  if (out.bias_at != 0u) { sum += bitcast<f32>(slab[out.bias_at + column - out.begin]); }
#endif
#if RESIDUAL
  sum += residual[index];
#endif
  y[index] = sum;
}
