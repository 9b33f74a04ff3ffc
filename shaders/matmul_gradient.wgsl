// g += scale · pᵀ·q: a LoRA matrix's gradient, summed over the micro-batch's tokens. p [T, p_stride] gives g's rows,
// q [T, q_stride] its columns, each from a column offset; g [height, width] in f32. Each output has one owner and adds
// in a fixed order, so that results repeat bit for bit.
fn a_block(m: u32, k: u32) -> mat4x4<f32> {
  var block: mat4x4<f32>;
  for (var j = 0u; j < 4u; j++) {
    if (k + j >= step.tokens) { continue; }
    for (var c = 0u; c < 4u; c++) {
      if (m + c < params.height) { block[j][c] = p[(k + j) * params.p_stride + params.p_at + m + c]; }
    }
  }
  return block;
}

fn b_block(n: u32, k: u32) -> mat4x4<f32> {
  var block: mat4x4<f32>;
  for (var j = 0u; j < 4u; j++) {
    if (k + j >= step.tokens) { continue; }
    for (var c = 0u; c < 4u; c++) {
      if (n + c < params.width) { block[j][c] = q[(k + j) * params.q_stride + params.q_at + n + c]; }
    }
  }
  return block;
}

#include "common/matmul_tile.wgsl"

@compute @workgroup_size(TILE_M * TILE_N / (16u * RM * RN))
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let m0 = group.y * TILE_M;
  let n0 = group.x * TILE_N;
  accumulate(m0, n0, step.tokens, lane);
  for (var r = 0u; r < 4u * RM; r++) {
    let m = m0 + tile_row(lane, r);
    if (m >= params.height) { continue; }
    for (var j = 0u; j < RN; j++) {
      let n = n0 + tile_column(lane, j);
      for (var c = 0u; c < 4u; c++) {
        if (n + c < params.width) { g[m * params.width + n + c] += acc[r * RN + j][c] * params.scale; }
      }
    }
  }
}
