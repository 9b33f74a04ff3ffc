// y = x·Wᵀ (+ u·Bᵀ) (+ bias) (+ residual), W [n, k] in NF4; with TRANSPOSED the gradient y = x·W (+ u·A).
// x [T, x_stride], y [T, y_stride], each from a column offset. LORA: u [T, rank] times lora_scale, and `lora` = B
// [n, rank], or with TRANSPOSED A [rank, n]: the low-rank product runs through the same tile. ALIGNED: both of W's sizes
// are multiples of 4. ACCUMULATE adds to y.
#include "common/nf4.wgsl"

#if LORA
// Which product the tile is computing: x·W, then u·lora.
var<private> low_rank: bool;
#endif

fn a_element(m: u32, k: u32) -> f32 {
  if (m >= step.tokens) { return 0.0; }
#if LORA
  if (low_rank) { return select(0.0, u[m * params.rank + k], k < params.rank) * params.lora_scale; }
#endif
  if (k >= params.depth) { return 0.0; }
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
  if (n >= params.width) { return 0.0; }
#if LORA
  if (low_rank) {
    if (k >= params.rank) { return 0.0; }
    if (TRANSPOSED) { return lora[k * params.width + n]; }
    return lora[n * params.rank + k];
  }
#endif
  if (k >= params.depth) { return 0.0; }
  if (TRANSPOSED) { return weight_at(k * params.width + n); }
  return weight_at(n * params.depth + k);
}

fn b_block(n: u32, k: u32) -> mat4x4<f32> {
#if ALIGNED
#if LORA
  if (!low_rank) {
#else
  {
#endif
    var block: mat4x4<f32>;
    for (var j = 0u; j < 4u; j++) {
      if (TRANSPOSED) {
        if (k + j < params.depth && n < params.width) { block[j] = weights_at((k + j) * params.width + n); }
      } else {
        if (n + j < params.width && k < params.depth) { block[j] = weights_at((n + j) * params.depth + k); }
      }
    }
    if (TRANSPOSED) { return block; }
    return transpose(block);
  }
#endif
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
  load_tables(lane, THREADS);
  workgroupBarrier();
#if LORA
  low_rank = false;
#endif
  accumulate(m0, n0, params.depth, lane);
#if LORA
  low_rank = true;
  accumulate(m0, n0, params.rank, lane);
#endif
  for (var r = 0u; r < 4u * RM; r++) {
    let m = m0 + tile_row(lane, r);
    if (m >= step.tokens) { continue; }
    for (var j = 0u; j < RN; j++) {
      let n = n0 + tile_column(lane, j);
      for (var c = 0u; c < 4u; c++) {
        if (n + c >= params.width) { continue; }
        var value = acc[r * RN + j][c];
#if BIAS
        value += bitcast<f32>(slab[params.bias_at + n + c]);
#endif
#if RESIDUAL
        value += residual[m * params.width + n + c];
#endif
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
