// y = x·Wᵀ (+ u·Bᵀ) (+ bias) (+ residual), W [width, depth] in NF4; with TRANSPOSED the gradient y = x·W (+ u·A), W
// [depth, width]. x [T, x_stride], y [T, y_stride], each from a column offset. LORA: u [T, rank] times lora_scale, and
// `lora` = B [width, rank], or with TRANSPOSED A [rank, width]: the low-rank product runs through the same tile.
// ALIGNED: W's rows are whole groups of four. ACCUMULATE adds to y.
#include "common/nf4.wgsl"

#if LORA
// The two products run as one: along k first x·W, the depth rounded up to whole steps of the tile, then u·lora.
var<private> low_rank_at: u32;
#endif

// Elements outside are read all the same (robust access keeps the read inside the buffer) and taken for zero: branches
// would cost more.
fn a_vector(m: u32, position: u32) -> vec4<f32> {
  let inside = m < step.tokens;
#if LORA
  if (position >= low_rank_at) {
    let k = position - low_rank_at;
    let row = m * params.rank + k;
    return params.lora_scale * vec4<f32>(
      select(0.0, u[row], inside && k < params.rank),
      select(0.0, u[row + 1u], inside && k + 1u < params.rank),
      select(0.0, u[row + 2u], inside && k + 2u < params.rank),
      select(0.0, u[row + 3u], inside && k + 3u < params.rank));
  }
#endif
  let k = position;
  let at = m * params.x_stride + params.x_at + k;
  return vec4<f32>(
    select(0.0, x[at], inside && k < params.depth),
    select(0.0, x[at + 1u], inside && k + 1u < params.depth),
    select(0.0, x[at + 2u], inside && k + 2u < params.depth),
    select(0.0, x[at + 3u], inside && k + 3u < params.depth));
}

#if LORA
fn lora_element(n: u32, k: u32) -> f32 {
#if TRANSPOSED
  let i = k * params.width + n;
#else
  let i = n * params.rank + k;
#endif
  return select(0.0, lora[i], n < params.width && k < params.rank);
}
#endif

// A vector runs along the weight's own row.
fn b_vector(n: u32, position: u32) -> vec4<f32> {
#if LORA
  if (position >= low_rank_at) {
    let k = position - low_rank_at;
#if TRANSPOSED
    return vec4<f32>(lora_element(n, k), lora_element(n + 1u, k), lora_element(n + 2u, k), lora_element(n + 3u, k));
#else
    return vec4<f32>(lora_element(n, k), lora_element(n, k + 1u), lora_element(n, k + 2u), lora_element(n, k + 3u));
#endif
  }
#endif
  let k = position;
#if TRANSPOSED
  let at = k * params.width + n;
  let left = select(0u, params.width - n, n < params.width && k < params.depth);
#else
  let at = n * params.depth + k;
  let left = select(0u, params.depth - k, n < params.width && k < params.depth);
#endif
#if ALIGNED
  return select(vec4<f32>(0.0), weights_at(at), left > 0u);
#else
  return vec4<f32>(
    select(0.0, weight_at(at), left > 0u),
    select(0.0, weight_at(at + 1u), left > 1u),
    select(0.0, weight_at(at + 2u), left > 2u),
    select(0.0, weight_at(at + 3u), left > 3u));
#endif
}

fn store(m: u32, n: u32, value: vec4<f32>) {
  if (m >= step.tokens) { return; }
#for e 4
  if (n + {e}u < params.width) {
    var sum = value[{e}];
#if BIAS
    sum += bitcast<f32>(slab[params.bias_at + n + {e}u]);
#endif
#if RESIDUAL
    sum += residual[m * params.width + n + {e}u];
#endif
    let at = m * params.y_stride + params.y_at + n + {e}u;
#if ACCUMULATE
    y[at] += sum;
#else
    y[at] = sum;
#endif
  }
#endfor
}

#include "common/matmul_tile.wgsl"

@compute @workgroup_size(TILE_M * TILE_N / (16u * RM * RN))
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let m0 = group.y * TILE_M;
  let n0 = group.x * TILE_N;
  load_tables(lane, THREADS);
  workgroupBarrier();
#if LORA
  let whole_depth = (params.depth + TILE_K - 1u) / TILE_K * TILE_K;
  low_rank_at = whole_depth;
  accumulate(m0, n0, whole_depth + params.rank, lane);
#else
  accumulate(m0, n0, params.depth, lane);
#endif
  store_tile(m0, n0, lane);
}
