// What both backward kernels read besides qkv: d_o, laid out as o.
#if ALIGNED
fn d_o_vector(row: u32, head_at: u32, v: u32) -> vec4<f32> {
  return d_o[vector_at(row, params.o_stride, head_at, v)];
}
#else
fn d_o_vector(row: u32, head_at: u32, v: u32) -> vec4<f32> {
  let at = vector_at(row, params.o_stride, head_at, v);
  return select(vec4<f32>(0.0), vec4<f32>(d_o[at], d_o[at + 1u], d_o[at + 2u], d_o[at + 3u]), within_head(v));
}
#endif
