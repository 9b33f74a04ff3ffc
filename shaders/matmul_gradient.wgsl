// g += scale · pᵀ·q: a LoRA matrix's gradient, summed over the micro-batch's tokens. p [T, p_stride] gives g's rows,
// q [T, q_stride] its columns, each from a column offset; g [height, width] in f32. Each output has one owner and adds
// in a fixed order, so that results repeat bit for bit.
fn a_vector(m: u32, k: u32) -> vec4<f32> {
  var v = vec4<f32>(0.0);
  if (k >= step.tokens) { return v; }
  let at = k * params.p_stride + params.p_at + m;
#for e 4
  if (m + {e}u < params.height) { v[{e}] = p[at + {e}u]; }
#endfor
  return v;
}

fn b_vector(n: u32, k: u32) -> vec4<f32> {
  var v = vec4<f32>(0.0);
  if (k >= step.tokens) { return v; }
  let at = k * params.q_stride + params.q_at + n;
#for e 4
  if (n + {e}u < params.width) { v[{e}] = q[at + {e}u]; }
#endfor
  return v;
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
