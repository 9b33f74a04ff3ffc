// Rows of the embedding table, in the checkpoint's dtype or (BYTES) in 8 bits, for this micro-batch's tokens. A dispatch handles one shard
// of the table and writes only the tokens whose row it holds. A workgroup a token.
#include "common/indexing.wgsl"
#if BYTES
#include "common/signed_bytes.wgsl"
#else
#include "common/float_dtypes.wgsl"
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let token = workgroup_index(group, groups);
  if (token >= step.tokens) { return; }
  let id = ids[token];
  if (id < params.first_row || id >= params.first_row + params.rows) { return; }
  for (var c = lane; c < params.width; c += 64u) {
    let i = (id - params.first_row) * params.width + c;
#if BYTES
    let element = signed_byte(table[i >> 2u], i) * bitcast<f32>(table[params.scales_at + scale_block(i)]);
#else
    let element = decode_element(table[element_word(i)], i);
#endif
    y[token * params.width + c] = element * params.scale;
  }
}
