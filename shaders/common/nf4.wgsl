// 4-bit weights inside a layer's slab of words. The slab begins with the 16-entry codebook and the 256-entry dynamic
// map; a tensor is three ranges of it: codes (8 a word, the even element in a byte's high nibble), absmax (f32, or with
// DOUBLE_QUANT one byte a block), and nested ([offset, second-level absmax …]). REFERENCE.md §1.
// FLOATS: a tensor with absmax_at = 0 is not in 4 bits; at codes_at are its elements, of dtype DTYPE, one behind the other.
const CODEBOOK_WORDS = 16u;
var<workgroup> codebook: array<f32, 16>;
#if DOUBLE_QUANT
var<workgroup> dynamic_map: array<f32, 256>;
#endif

// Where a tensor lies in the slab, in words.
struct Nf4 { codes_at: u32, absmax_at: u32, nested_at: u32 }

// The slab is read by words, by kernels that take long runs of codes too as vectors.
fn word(i: u32) -> u32 {
#if SLAB_VECTORS
  return slab[i >> 2u][i & 3u];
#else
  return slab[i];
#endif
}

#if FLOATS
#include "common/float_dtypes.wgsl"
fn in_floats(tensor: Nf4) -> bool { return tensor.absmax_at == 0u; }

// The four elements that begin in this word, whose index is a multiple of 4.
fn fetch_floats(at: u32) -> vec4<u32> {
  if (DTYPE == 0u) { return vec4<u32>(word(at), word(at + 1u), word(at + 2u), word(at + 3u)); }
  return vec4<u32>(word(at), word(at + 1u), 0u, 0u);
}
fn decode_floats(raw: vec4<u32>) -> vec4<f32> {
  if (DTYPE == 0u) { return bitcast<vec4<f32>>(raw); }
  return vec4<f32>(decode_element(raw.x, 0u), decode_element(raw.x, 1u), decode_element(raw.y, 0u), decode_element(raw.y, 1u));
}
#endif

// Copies the tables to workgroup memory; a barrier must follow.
fn load_tables(lane: u32, threads: u32) {
  for (var i = lane; i < 16u; i += threads) { codebook[i] = bitcast<f32>(word(i)); }
#if DOUBLE_QUANT
  for (var i = lane; i < 256u; i += threads) { dynamic_map[i] = bitcast<f32>(word(CODEBOOK_WORDS + i)); }
#endif
}

// What double quantization subtracted before the second level: 0 without.
fn absmax_offset(tensor: Nf4) -> f32 {
#if DOUBLE_QUANT
  return bitcast<f32>(word(tensor.nested_at));
#else
  return 0.0;
#endif
}

// What the absmax of the block of element i is made of: with DOUBLE_QUANT the word with its byte and the second level's
// absmax, else itself.
fn fetch_absmax(tensor: Nf4, i: u32) -> vec2<u32> {
  let block = i >> 6u;
#if DOUBLE_QUANT
  return vec2<u32>(word(tensor.absmax_at + (block >> 2u)), word(tensor.nested_at + 1u + (block >> 8u)));
#else
  return vec2<u32>(word(tensor.absmax_at + block), 0u);
#endif
}

fn decode_absmax(raw: vec2<u32>, i: u32, offset: f32) -> f32 {
#if DOUBLE_QUANT
  let q = (raw.x >> (((i >> 6u) & 3u) * 8u)) & 0xffu;
  return dynamic_map[q] * bitcast<f32>(raw.y) + offset;
#else
  return bitcast<f32>(raw.x);
#endif
}

fn weight_at(tensor: Nf4, i: u32, offset: f32) -> f32 {
#if FLOATS
  if (in_floats(tensor)) { return decode_element(word(tensor.codes_at + element_word(i)), i); }
#endif
  let code = (word(tensor.codes_at + (i >> 3u)) >> (((i ^ 1u) & 7u) * 4u)) & 15u;
  return codebook[code] * decode_absmax(fetch_absmax(tensor, i), i, offset);
}

// The four codes in the lower half of a word, in the order of their elements.
fn decode_codes(half: u32) -> vec4<f32> {
  return vec4<f32>(codebook[(half >> 4u) & 15u], codebook[half & 15u], codebook[(half >> 12u) & 15u], codebook[(half >> 8u) & 15u]);
}

// Elements i … i+3 of one block, i a multiple of 4, as they lie there: the word with their codes, then their absmax.
#if FLOATS
alias Packed = vec4<u32>;
fn fetch_packed(tensor: Nf4, i: u32) -> Packed {
  if (in_floats(tensor)) { return fetch_floats(tensor.codes_at + element_word(i)); }
  return vec4<u32>(word(tensor.codes_at + (i >> 3u)), fetch_absmax(tensor, i), 0u);
}
#else
alias Packed = vec3<u32>;
fn fetch_packed(tensor: Nf4, i: u32) -> Packed {
  return vec3<u32>(word(tensor.codes_at + (i >> 3u)), fetch_absmax(tensor, i));
}
#endif

fn decode_packed(tensor: Nf4, raw: Packed, i: u32, offset: f32) -> vec4<f32> {
#if FLOATS
  if (in_floats(tensor)) { return decode_floats(raw); }
#endif
  return decode_absmax(raw.yz, i, offset) * decode_codes(raw.x >> ((i & 4u) * 4u));
}

#if SLAB_VECTORS
// A run: elements i … of one block, i a multiple of their number, as they lie there. Each is run_factor times its part of
// run_vector, which has elements i + 4v … i + 4v + 3.
#if FLOATS
// As many elements as 16 bytes of floats are: those, or the codes from i on, then what their absmax is made of.
alias Run = vec4<u32>;
fn fetch_run(tensor: Nf4, i: u32) -> Run {
  if (in_floats(tensor)) { return slab[(tensor.codes_at + element_word(i)) >> 2u]; }
  return vec4<u32>(word(tensor.codes_at + (i >> 3u)) >> ((i & 4u) * 4u), fetch_absmax(tensor, i), 0u);
}
fn run_vector(tensor: Nf4, raw: Run, v: u32) -> vec4<f32> {
  if (in_floats(tensor)) { return decode_floats(select(raw, raw.zwzw, v == 1u)); }
  return decode_codes(raw.x >> (v * 16u));
}
fn run_factor(tensor: Nf4, raw: Run, i: u32, offset: f32) -> f32 {
  return select(decode_absmax(raw.yz, i, offset), 1.0, in_floats(tensor));
}
#else
// 32 of them: their codes, then what their absmax is made of.
struct Run { codes: vec4<u32>, absmax: vec2<u32> }
fn fetch_run(tensor: Nf4, i: u32) -> Run {
  return Run(slab[(tensor.codes_at + (i >> 3u)) >> 2u], fetch_absmax(tensor, i));
}
fn run_vector(tensor: Nf4, raw: Run, v: u32) -> vec4<f32> {
  return decode_codes(raw.codes[v / 2u] >> ((v % 2u) * 16u));
}
fn run_factor(tensor: Nf4, raw: Run, i: u32, offset: f32) -> f32 { return decode_absmax(raw.absmax, i, offset); }
#endif
#endif
