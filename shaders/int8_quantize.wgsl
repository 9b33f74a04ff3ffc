// Blocks of 64 elements to signed bytes and a scale: code = round(x · 127/absmax), scale = absmax/127. Sixteen invocations
// share a block; each makes one word of four codes. In `table` the codes begin at params.first_word, the scales at
// params.first_scale.
#include "common/indexing.wgsl"
#include "common/float_dtypes.wgsl"
#include "common/exact.wgsl"

// A block of smaller numbers is zero: their reciprocals overflow.
const SMALLEST = 7.888609052210118e-31; // 2^-100

var<workgroup> maxima: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let word = workgroup_index(group, groups) * 256u + lane;
  var values: array<f32, 4>;
  var largest = 0.0;
  for (var j = 0u; j < 4u; j++) {
    let i = word * 4u + j;
    var x = 0.0;
    if (i < params.elements) { x = decode_element(source[element_word(i)], i); }
    values[j] = x;
    largest = max(largest, abs(x));
  }
  maxima[lane] = largest;
  workgroupBarrier();
  let first = lane & ~15u;
  for (var j = 0u; j < 16u; j++) { largest = max(largest, maxima[first + j]); }
  if (word * 4u >= params.elements) { return; }
  var factor = 0.0;
  if (largest >= SMALLEST) { factor = exact_reciprocal(largest) * 127.0; }
  var packed = 0u;
  for (var j = 0u; j < 4u; j++) {
    packed |= (bitcast<u32>(i32(round(values[j] * factor))) & 0xffu) << (j * 8u);
  }
  table[params.first_word + word] = packed;
  if ((lane & 15u) == 0u) {
    table[params.first_scale + (word >> 4u)] = bitcast<u32>(select(0.0, largest * 0.007874015718698502, factor > 0.0));
  }
}
