// Weights that are decoded already (nf4_dequantize.wgsl), under the names of nf4.wgsl: the slab holds nothing else, and
// codes_at is where a tensor's elements begin.
struct Nf4 { codes_at: u32, absmax_at: u32, nested_at: u32 }
alias Packed = vec4<f32>;
fn load_tables(lane: u32, threads: u32) {}
fn absmax_offset(tensor: Nf4) -> f32 { return 0.0; }
fn fetch_packed(tensor: Nf4, i: u32) -> Packed { return slab[(tensor.codes_at + i) >> 2u]; }
fn decode_packed(tensor: Nf4, raw: Packed, i: u32, offset: f32) -> vec4<f32> { return raw; }
