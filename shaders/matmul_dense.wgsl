// y = x·Wᵀ, W [width, depth]; with TRANSPOSED y = x·W, W [depth, width]: the output head, W in its own dtype or (BYTES) in 8 bits. x [T,
// x_stride] and y [T, y_stride], each from a column offset; rows from params.first_token of the micro-batch, at most
// params.row_count of them (a chunk). ACCUMULATE adds to y. ALIGNED: strides, offsets, depth and width are whole groups
// of four, and x, y and weight are bound as vectors; x may be in 16 bits. SPLIT_K: as in matmul_nf4.wgsl, y gets partial sums.
#if BYTES
#include "common/signed_bytes.wgsl"
#else
#include "common/float_dtypes.wgsl"
#endif

fn rows() -> u32 {
  return min(params.row_count, step.tokens - min(step.tokens, params.first_token));
}

#include "common/matmul_left.wgsl"

// A vector runs along the weight's own row. Zeros beyond the depth; beyond a row's end, its last weights.
#if ALIGNED
#if BYTES
struct RawB { codes: u32, scale: u32 }
fn unpack(raw: RawB) -> vec4<f32> { return signed_bytes(raw.codes) * bitcast<f32>(raw.scale); }
fn fetch_weights(first: u32, c: u32, length: u32) -> RawB {
  let i = first + min(c, length - 4u);
  return RawB(weight[i >> 2u], weight[params.scales_at + scale_block(i)]);
}
#else
#if WIDE_DTYPE
alias RawB = vec4<u32>;
fn unpack(raw: RawB) -> vec4<f32> { return bitcast<vec4<f32>>(raw); }
#else
alias RawB = vec2<u32>;
fn unpack(raw: RawB) -> vec4<f32> {
  return vec4<f32>(decode_element(raw.x, 0u), decode_element(raw.x, 1u), decode_element(raw.y, 0u), decode_element(raw.y, 1u));
}
#endif
fn fetch_weights(first: u32, c: u32, length: u32) -> RawB {
  return weight[(first + min(c, length - 4u)) >> 2u];
}
#endif
#else
alias RawB = vec4<f32>;
fn unpack(raw: RawB) -> vec4<f32> { return raw; }
fn weight_element(i: u32) -> f32 {
#if BYTES
  return signed_byte(weight[i >> 2u], i) * bitcast<f32>(weight[params.scales_at + scale_block(i)]);
#else
  return decode_element(weight[element_word(i)], i);
#endif
}
fn fetch_weights(first: u32, c: u32, length: u32) -> RawB {
  let last = length - 1u;
  return vec4<f32>(weight_element(first + min(c, last)), weight_element(first + min(c + 1u, last)),
    weight_element(first + min(c + 2u, last)), weight_element(first + min(c + 3u, last)));
}
#endif

fn fetch_b(n: u32, k: u32) -> RawB {
#if TRANSPOSED
  return fetch_weights(min(k, params.depth - 1u) * params.width, n, params.width);
#else
  return fetch_weights(min(n, params.width - 1u) * params.depth, k, params.depth);
#endif
}
fn decode_b(raw: RawB, n: u32, k: u32) -> vec4<f32> {
#if TRANSPOSED
  return select(vec4<f32>(0.0), unpack(raw), k < params.depth);
#else
  return select(vec4<f32>(0.0), unpack(raw), vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(params.depth));
#endif
}

var<private> y_begin: u32;

fn store(m: u32, n: u32, value: vec4<f32>) {
  if (m >= rows() || n >= params.width) { return; }
  let at = m * params.y_stride + y_begin + n;
#if ALIGNED
#if ACCUMULATE
  y[at >> 2u] += value;
#else
  y[at >> 2u] = value;
#endif
#else
#for e 4
  if (n + {e}u < params.width) {
#if ACCUMULATE
    y[at + {e}u] += value[{e}];
#else
    y[at + {e}u] = value[{e}];
#endif
  }
#endfor
#endif
}

#if MATRIX
struct RawVectors { low: RawB, high: RawB }
#if TRANSPOSED
fn fetch_vectors(n: u32, k: u32) -> RawVectors { return RawVectors(fetch_b(n, k), fetch_b(n + 4u, k)); }
fn put_vectors(own: vec2<u32>, raw: RawVectors, n: u32, k: u32) {
  put_b(own, decode_b(raw.low, n, k), decode_b(raw.high, n + 4u, k));
}
#else
fn fetch_vectors(n: u32, k: u32) -> RawVectors { return RawVectors(fetch_b(n, k), fetch_b(n, k + 4u)); }
fn put_vectors(own: vec2<u32>, raw: RawVectors, n: u32, k: u32) {
  put_b(own, decode_b(raw.low, n, k), decode_b(raw.high, n, k + 4u));
}
#endif
#include "common/matmul_matrix_tile.wgsl"
#else
#include "common/matmul_tile.wgsl"
#endif

#if MATRIX
@compute @workgroup_size(32u * (TILE_M / (MAT_M * SUB_M)) * (TILE_N / (MAT_N * SUB_N)))
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
#else
@compute @workgroup_size(TILE_M * TILE_N / (16u * RM * RN))
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
#endif
  y_begin = params.y_at;
#if SPLIT_K
  let k_begin = group.z * params.split_depth;
  let k_end = min(params.depth, k_begin + params.split_depth);
  y_begin += group.z * params.plane;
#else
  let k_begin = 0u;
  let k_end = params.depth;
#endif
  let m0 = group.y * TILE_M;
  let n0 = group.x * TILE_N;
#if MATRIX
  compute_tile(m0, n0, k_begin, k_end, 0u, lane, subgroup);
#else
  accumulate(m0, n0, k_begin, k_end, 0u, lane);
  store_tile(m0, n0, lane);
#endif
}
