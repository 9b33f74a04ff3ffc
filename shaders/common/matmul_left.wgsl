// The left operand of every matmul: rows of x [T, x_stride] from a column offset, `rows()` of them, as the tile asks for it.
// ALIGNED: strides, offsets and depth are whole groups of four, and x is bound as vectors; A_HALVES: in 16 bits, A_EIGHTS for
// a tile that takes eight as they are.
#if ALIGNED
#if A_EIGHTS
alias RawA = vec4<u32>;
const A_SHIFT = 3u;
#else
const A_SHIFT = 2u;
#if A_HALVES
alias RawA = vec2<u32>;
fn decode_a(raw: RawA, m: u32, k: u32) -> vec4<f32> { return from_halves_4(raw); }
#else
alias RawA = vec4<f32>;
fn decode_a(raw: RawA, m: u32, k: u32) -> vec4<f32> { return raw; }
#endif
#endif
fn fetch_a(m: u32, k: u32) -> RawA {
  return x[(min(m, rows() - 1u) * params.x_stride + params.x_at + min(k, params.depth - (1u << A_SHIFT))) >> A_SHIFT];
}
#else
alias RawA = vec4<f32>;
fn fetch_a(m: u32, k: u32) -> RawA {
  let at = min(m, rows() - 1u) * params.x_stride + params.x_at;
  let last = params.depth - 1u;
  return vec4<f32>(x[at + min(k, last)], x[at + min(k + 1u, last)], x[at + min(k + 2u, last)], x[at + min(k + 3u, last)]);
}
fn decode_a(raw: RawA, m: u32, k: u32) -> vec4<f32> { return raw; }
#endif
