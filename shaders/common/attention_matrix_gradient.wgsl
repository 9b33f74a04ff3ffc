// d_o, laid out as o, as both backward kernels' matrices take it: lifted, in f16, dimensions from 4·v on, v even.
fn d_o_eight(row: u32, head_at: u32, v: u32) -> vec4<u32> {
  let at = vector_at(row, params.o_stride, head_at, v);
  return halves(within_f16(lift() * d_o[at]), within_f16(lift() * d_o[at + 1u]));
}
