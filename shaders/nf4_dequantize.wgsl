// The weights of SEGMENTS linears in f32, one linear below the other, from their codes: what a matmul reads that multiplies
// so many rows by them that decoding once pays. Each weight has the bits that decoding in the matmul gives it.
// An invocation takes the 8 weights of a word, a workgroup WORDS words.
#include "common/indexing.wgsl"
#include "common/nf4.wgsl"
const THREADS = 256u;
const WORDS = 1024u;

struct Segment { begin: u32, nf4: Nf4 }

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  load_tables(lane, THREADS);
  workgroupBarrier();
  let first = workgroup_index(group, groups) * WORDS + lane;
  for (var w = first; w < min(first + WORDS, params.words); w += THREADS) {
    var own: Segment;
#for s SEGMENTS
    if (w >= params.begin_{s}) { own = Segment(params.begin_{s}, Nf4(params.codes_at_{s}, params.absmax_at_{s}, params.nested_at_{s})); }
#endfor
    let i = (w - own.begin) * 8u;
    let raw = fetch_packed(own.nf4, i);
    let offset = absmax_offset(own.nf4);
    weights[2u * w] = decode_packed(own.nf4, raw, i, offset);
    weights[2u * w + 1u] = decode_packed(own.nf4, raw, i + 4u, offset);
  }
}
