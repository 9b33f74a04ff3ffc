// A 4-bit weight inside a layer's slab of words. The slab begins with the 16-entry codebook and the 256-entry dynamic
// map; a tensor is three ranges of it: codes (8 a word, the even element in a byte's high nibble), absmax (f32, or with
// DOUBLE_QUANT one byte a block), and nested ([offset, second-level absmax …]). REFERENCE.md §1.
const CODEBOOK_WORDS = 16u;
var<workgroup> codebook: array<f32, 16>;
#if DOUBLE_QUANT
var<workgroup> dynamic_map: array<f32, 256>;
#endif

// Copies the tables to workgroup memory; a barrier must follow.
fn load_tables(lane: u32, threads: u32) {
  for (var i = lane; i < 16u; i += threads) { codebook[i] = bitcast<f32>(slab[i]); }
#if DOUBLE_QUANT
  for (var i = lane; i < 256u; i += threads) { dynamic_map[i] = bitcast<f32>(slab[CODEBOOK_WORDS + i]); }
#endif
}

// absmax of the block that holds element i of the tensor.
fn block_absmax(i: u32) -> f32 {
  let block = i >> 6u;
#if DOUBLE_QUANT
  let q = (slab[params.absmax_at + (block >> 2u)] >> ((block & 3u) * 8u)) & 0xffu;
  let nested = bitcast<f32>(slab[params.nested_at + 1u + (block >> 8u)]);
  return dynamic_map[q] * nested + bitcast<f32>(slab[params.nested_at]);
#else
  return bitcast<f32>(slab[params.absmax_at + block]);
#endif
}

fn code_at(word: u32, i: u32) -> u32 {
  return (word >> (((i ^ 1u) & 7u) * 4u)) & 15u;
}

fn weight_at(i: u32) -> f32 {
  return codebook[code_at(slab[params.codes_at + (i >> 3u)], i)] * block_absmax(i);
}

// Elements i … i+3 of one block, i a multiple of 4.
fn weights_at(i: u32) -> vec4<f32> {
  let half = slab[params.codes_at + (i >> 3u)] >> ((i & 4u) * 4u);
  return block_absmax(i) *
    vec4<f32>(codebook[(half >> 4u) & 15u], codebook[half & 15u], codebook[(half >> 12u) & 15u], codebook[(half >> 8u) & 15u]);
}
