// y = (magnitude / norm)·z (+ bias) (+ residual), z [T, width] = W·x + s·B(A·x) of linears whose outputs lie side by side.
// BESIDE: beside [T, width] is added too; it has all of a linear without an adapter, whose z is not looked at.
// STRENGTH: the factor goes from 1 to that as strength [T] goes from 0 to 1, token by token. Rows are counted in Numbers, of which each lies in one linear.
#include "common/indexing.wgsl"
#include "common/number.wgsl"
#include "common/dora.wgsl"

#if VECTORS
fn factors_of(out: Output, column: u32) -> Number {
  return vec4<f32>(factor_of(out, column), factor_of(out, column + 1u), factor_of(out, column + 2u), factor_of(out, column + 3u));
}
#else
fn factors_of(out: Output, column: u32) -> Number { return factor_of(out, column); }
#endif
#if BIAS
// A linear without bias among ones with has bias_at = 0.
fn bias_of(out: Output, column: u32) -> f32 {
  return select(0.0, bitcast<f32>(slab[out.bias_at + column - out.begin]), out.bias_at != 0u);
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  if (index >= step.tokens * params.width) { return; }
  let column = index % params.width * NUMBER_ELEMENTS;
  let out = output_of(column);
  var factor = factors_of(out, column);
#if STRENGTH
  factor = mix(Number(1.0), factor, strength[index / params.width]);
#endif
  var sum = factor * load_z(index);
#if BESIDE
  sum = select(Number(0.0), sum, out.adapted != 0u) + beside[index];
#endif
#if BIAS
#if VECTORS
  sum += vec4<f32>(bias_of(out, column), bias_of(out, column + 1u), bias_of(out, column + 2u), bias_of(out, column + 3u));
#else
  sum += bias_of(out, column);
#endif
#endif
#if RESIDUAL
  sum += residual[index];
#endif
  store_y(index, sum);
}
