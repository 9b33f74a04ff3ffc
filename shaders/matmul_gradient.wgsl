// g += scale · pᵀ·q: a LoRA matrix's gradient, summed over the micro-batch's tokens. p [T, p_stride] gives g's rows,
// q [T, q_stride] its columns, each from a column offset; g [height, width] in f32. Each output has one owner and adds
// in a fixed order, so that results repeat bit for bit.
// Elements outside are read all the same (robust access keeps the read inside the buffer) and taken for zero: branches
// would cost more.
fn a_vector(m: u32, k: u32) -> vec4<f32> {
  let inside = k < step.tokens;
  let at = k * params.p_stride + params.p_at + m;
  return vec4<f32>(
    select(0.0, p[at], inside && m < params.height),
    select(0.0, p[at + 1u], inside && m + 1u < params.height),
    select(0.0, p[at + 2u], inside && m + 2u < params.height),
    select(0.0, p[at + 3u], inside && m + 3u < params.height));
}

fn b_vector(n: u32, k: u32) -> vec4<f32> {
  let inside = k < step.tokens;
  let at = k * params.q_stride + params.q_at + n;
  return vec4<f32>(
    select(0.0, q[at], inside && n < params.width),
    select(0.0, q[at + 1u], inside && n + 1u < params.width),
    select(0.0, q[at + 2u], inside && n + 2u < params.width),
    select(0.0, q[at + 3u], inside && n + 3u < params.width));
}

fn store(m: u32, n: u32, value: vec4<f32>) {
  if (m >= params.height) { return; }
#for e 4
  if (n + {e}u < params.width) { g[m * params.width + n + {e}u] += value[{e}] * params.scale; }
#endfor
}

#include "common/matmul_tile.wgsl"

@compute @workgroup_size(TILE_M * TILE_N / (16u * RM * RN))
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let m0 = group.y * TILE_M;
  let n0 = group.x * TILE_N;
  accumulate(m0, n0, step.tokens, lane);
  store_tile(m0, n0, lane);
}
