// AdamW over moments in 8 bits (Dettmers et al. 2022): a block of 256 parameters a workgroup, four an invocation. Moments
// are decoded, updated and used in f32, then coded anew by the block's largest. Pages of PAGE parameters: codes of the
// first moments, four a word, codes of the second, the largest of each block's first moments, those of the second.
// tables: the values of the signed codes, of the unsigned ones, then the midpoints of neighbours of either.
// A negative clip coefficient means that the gradient is not a number: nothing changes.
#include "common/indexing.wgsl"
#include "common/reduce.wgsl"
#include "common/adamw.wgsl"

const CODES = PAGE / 4u; // words
const BLOCKS = PAGE / 256u;
const MIDPOINTS = 512u; // behind the values

// How many midpoints x exceeds: the code whose value is nearest, the lower one of two.
fn code_of(x: f32, table: u32) -> u32 {
  var low = 0u;
  var high = 255u;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (x > tables[MIDPOINTS + table * 256u + middle]) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}

fn decoded(word: u32, byte: u32, table: u32) -> f32 {
  return tables[table * 256u + ((word >> (8u * byte)) & 0xffu)];
}

fn inverse_of(largest: f32) -> f32 {
  return select(0.0, 1.0 / largest, largest > 0.0);
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let block = workgroup_index(group, groups);
  let first = block * 256u + lane * 4u;
  if (block * 256u >= params.elements) { return; }
  // No return: the reductions below need the whole workgroup.
  let skipped = clip[0] < 0.0;
  let page = block / BLOCKS * (2u * CODES + 2u * BLOCKS);
  let word1 = page + block % BLOCKS * 64u + lane;
  let word2 = word1 + CODES;
  let largest1 = page + 2u * CODES + block % BLOCKS;
  let largest2 = largest1 + BLOCKS;
  let codes1 = moments[word1];
  let codes2 = moments[word2];
  let scale1 = bitcast<f32>(moments[largest1]);
  let scale2 = bitcast<f32>(moments[largest2]);
  var m = vec4<f32>();
  var v = vec4<f32>();
  for (var j = 0u; j < 4u; j++) {
    if (first + j >= params.elements) { break; }
    let g = gradients[first + j] * clip[0];
    m[j] = step.beta1 * (decoded(codes1, j, 0u) * scale1) + step.one_minus_beta1 * g;
    v[j] = step.beta2 * (decoded(codes2, j, 1u) * scale2) + step.one_minus_beta2 * g * g;
    if (!skipped) { update(first + j, m[j], v[j]); }
  }
  let new1 = reduce_max(max(max(abs(m.x), abs(m.y)), max(abs(m.z), abs(m.w))), lane);
  let new2 = reduce_max(max(max(v.x, v.y), max(v.z, v.w)), lane);
  let inverse1 = inverse_of(new1);
  let inverse2 = inverse_of(new2);
  var coded1 = 0u;
  var coded2 = 0u;
  for (var j = 0u; j < 4u; j++) {
    coded1 |= code_of(m[j] * inverse1, 0u) << (8u * j);
    coded2 |= code_of(v[j] * inverse2, 1u) << (8u * j);
  }
  if (skipped) { return; }
  moments[word1] = coded1;
  moments[word2] = coded2;
  if (lane == 0u) {
    moments[largest1] = bitcast<u32>(new1);
    moments[largest2] = bitcast<u32>(new2);
  }
}
