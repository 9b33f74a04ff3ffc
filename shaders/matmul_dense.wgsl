// y = scale · x·Wᵀ, W [width, depth]; with TRANSPOSED y = scale · x·W, W [depth, width]. W in its own dtype (f32
// adapters; the 16-bit output head). x [T, x_stride] and y [T, y_stride], each from a column offset; rows from
// params.first_token of the micro-batch, at most params.row_count of them (a chunk). ACCUMULATE adds to y.
#include "common/float_dtypes.wgsl"

fn rows() -> u32 {
  return min(params.row_count, step.tokens - min(step.tokens, params.first_token));
}

// Elements outside are read all the same (robust access keeps the read inside the buffer) and taken for zero: branches
// would cost more.
fn a_vector(m: u32, k: u32) -> vec4<f32> {
  let inside = m < rows();
  let at = m * params.x_stride + params.x_at + k;
  return vec4<f32>(
    select(0.0, x[at], inside && k < params.depth),
    select(0.0, x[at + 1u], inside && k + 1u < params.depth),
    select(0.0, x[at + 2u], inside && k + 2u < params.depth),
    select(0.0, x[at + 3u], inside && k + 3u < params.depth));
}

fn weight_element(i: u32) -> f32 {
  return decode_element(weight[element_word(i)], i);
}

// A vector runs along the weight's own row.
fn b_vector(n: u32, k: u32) -> vec4<f32> {
#if TRANSPOSED
  let at = k * params.width + n;
  let left = select(0u, params.width - n, n < params.width && k < params.depth);
#else
  let at = n * params.depth + k;
  let left = select(0u, params.depth - k, n < params.width && k < params.depth);
#endif
  return vec4<f32>(
    select(0.0, weight_element(at), left > 0u),
    select(0.0, weight_element(at + 1u), left > 1u),
    select(0.0, weight_element(at + 2u), left > 2u),
    select(0.0, weight_element(at + 3u), left > 3u));
}

fn store(m: u32, n: u32, value: vec4<f32>) {
  if (m >= rows()) { return; }
  let at = m * params.y_stride + params.y_at + n;
#for e 4
  if (n + {e}u < params.width) {
#if ACCUMULATE
    y[at + {e}u] += value[{e}] * params.scale;
#else
    y[at + {e}u] = value[{e}] * params.scale;
#endif
  }
#endfor
}

#include "common/matmul_tile.wgsl"

@compute @workgroup_size(TILE_M * TILE_N / (16u * RM * RN))
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let m0 = group.y * TILE_M;
  let n0 = group.x * TILE_N;
  accumulate(m0, n0, params.depth, lane);
  store_tile(m0, n0, lane);
}
