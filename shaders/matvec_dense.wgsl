// matmul_dense.wgsl for at most ROWS tokens: y = x·Wᵀ, W [width, depth] in its own dtype from weight_at on: the output head,
// and LoRA's A·x. x [T, depth], depth whole runs; y [T, y_stride] from y_at on.
#include "common/float_dtypes.wgsl"
#include "common/matvec.wgsl"

fn x_vector(row: u32, vector: u32) -> vec4<f32> {
  return x[min(row, step.tokens - 1u) * (params.depth / 4u) + min(vector, params.depth / 4u - 1u)];
}

alias Raw = vec4<u32>;
// Beyond the last output, its weights again.
fn fetch(output: u32, run: u32) -> Raw {
  return weight[(params.weight_at + min(output, params.width - 1u) * params.depth) / RUN_ELEMENTS + run];
}
#if WIDE_DTYPE
fn weights_of(raw: Raw, v: u32) -> vec4<f32> { return bitcast<vec4<f32>>(raw); }
#else
fn weights_of(raw: Raw, v: u32) -> vec4<f32> {
  let low = raw[2u * v];
  let high = raw[2u * v + 1u];
  return vec4<f32>(decode_element(low, 0u), decode_element(low, 1u), decode_element(high, 0u), decode_element(high, 1u));
}
#endif
fn factor_of(raw: Raw, output: u32, run: u32) -> f32 { return 1.0; }

fn store(row: u32, output: u32, value: f32) {
  if (output < params.width) { y[row * params.y_stride + params.y_at + output] = value; }
}

@compute @workgroup_size(TEAM * TEAMS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first_of_group = group.x * TEAMS * PER_TEAM;
  accumulate_runs(first_of_group + lane / TEAM, lane);
  store_sums(first_of_group, lane);
}
