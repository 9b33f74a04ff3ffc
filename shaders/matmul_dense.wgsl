// y = scale · x·Wᵀ, or with TRANSPOSED y = scale · x·W; W [rows, columns] in its own dtype (f32 adapters; the 16-bit
// output head). x [T, x_stride] and y [T, y_stride], each from a column offset. Rows params.first_token … of the
// micro-batch, at most params.row_count of them (a chunk). ACCUMULATE adds to y.
#include "common/float_dtypes.wgsl"

fn rows() -> u32 {
  return min(params.row_count, step.tokens - min(step.tokens, params.first_token));
}

fn a_element(m: u32, k: u32) -> f32 {
  if (m >= rows() || k >= params.depth) { return 0.0; }
  return x[m * params.x_stride + params.x_at + k];
}

fn a_block(m: u32, k: u32) -> mat4x4<f32> {
  var block: mat4x4<f32>;
  for (var j = 0u; j < 4u; j++) {
    block[j] = vec4<f32>(a_element(m, k + j), a_element(m + 1u, k + j), a_element(m + 2u, k + j), a_element(m + 3u, k + j));
  }
  return block;
}

fn b_element(n: u32, k: u32) -> f32 {
  if (n >= params.width || k >= params.depth) { return 0.0; }
  let i = select(n * params.depth + k, k * params.width + n, TRANSPOSED);
  return decode_element(weight[element_word(i)], i);
}

fn b_block(n: u32, k: u32) -> mat4x4<f32> {
  var block: mat4x4<f32>;
  for (var j = 0u; j < 4u; j++) {
    block[j] = vec4<f32>(b_element(n, k + j), b_element(n + 1u, k + j), b_element(n + 2u, k + j), b_element(n + 3u, k + j));
  }
  return block;
}

#include "common/matmul_tile.wgsl"

@compute @workgroup_size(TILE_M * TILE_N / (16u * RM * RN))
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let m0 = group.y * TILE_M;
  let n0 = group.x * TILE_N;
  accumulate(m0, n0, params.depth, lane);
  for (var r = 0u; r < 4u * RM; r++) {
    let m = m0 + tile_row(lane, r);
    if (m >= rows()) { continue; }
    for (var j = 0u; j < RN; j++) {
      let n = n0 + tile_column(lane, j);
      for (var c = 0u; c < 4u; c++) {
        if (n + c >= params.width) { continue; }
        let value = acc[r * RN + j][c] * params.scale;
        let at = m * params.y_stride + params.y_at + n + c;
#if ACCUMULATE
        y[at] += value;
#else
        y[at] = value;
#endif
      }
    }
  }
}
