// y = scale · x·Wᵀ, W [width, depth]; with TRANSPOSED y = scale · x·W, W [depth, width]. W in its own dtype (f32
// adapters; the 16-bit output head). x [T, x_stride] and y [T, y_stride], each from a column offset; rows from
// params.first_token of the micro-batch, at most params.row_count of them (a chunk). ACCUMULATE adds to y.
#include "common/float_dtypes.wgsl"

fn rows() -> u32 {
  return min(params.row_count, step.tokens - min(step.tokens, params.first_token));
}

fn a_vector(m: u32, k: u32) -> vec4<f32> {
  if (m >= rows()) { return vec4<f32>(0.0); }
  let at = m * params.x_stride + params.x_at + k;
  if (k + 4u <= params.depth) { return vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]); }
  var v = vec4<f32>(0.0);
#for e 4
  if (k + {e}u < params.depth) { v[{e}] = x[at + {e}u]; }
#endfor
  return v;
}

fn b_vector(n: u32, k: u32) -> vec4<f32> {
  if (n >= params.width || k >= params.depth) { return vec4<f32>(0.0); }
  // The weight's own row and column: a vector runs along its row.
#if TRANSPOSED
  let at = k * params.width + n;
  let left = params.width - n;
#else
  let at = n * params.depth + k;
  let left = params.depth - k;
#endif
  var v = vec4<f32>(0.0);
#for e 4
  if ({e}u < left) { v[{e}] = decode_element(weight[element_word(at + {e}u)], at + {e}u); }
#endfor
  return v;
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
