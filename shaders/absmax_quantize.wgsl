// Double quantization: absmax − offset to 8 bits in blocks of 256 against the dynamic map. A workgroup a block.
// nested: [offset, second-level absmax of each block …]; thresholds: 255 midpoints of the map.
#include "common/indexing.wgsl"
#include "common/exact.wgsl"

var<workgroup> magnitudes: array<f32, 256>;
var<workgroup> codes: array<u32, 256>;

// Thresholds that x passes strictly: a tie takes the lower code.
fn code_of(x: f32) -> u32 {
  var low = 0u;
  var high = 255u;
  while (low < high) {
    let middle = (low + high) >> 1u;
    if (x > thresholds[middle]) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let block = workgroup_index(group, groups);
  let i = block * 256u + lane;
  var x = 0.0;
  if (i < params.blocks) { x = absmax[i] - nested[0]; }
  magnitudes[lane] = abs(x);
  workgroupBarrier();
  for (var half = 128u; half > 0u; half >>= 1u) {
    if (lane < half) { magnitudes[lane] = max(magnitudes[lane], magnitudes[lane + half]); }
    workgroupBarrier();
  }
  let largest = magnitudes[0];
  var inverse = 0.0;
  if (largest > 0.0) { inverse = exact_reciprocal(largest); }
  codes[lane] = code_of(x * inverse);
  workgroupBarrier();
  if (lane < 64u && block * 256u + lane * 4u < params.blocks) {
    let at = lane * 4u;
    quantized[block * 64u + lane] = codes[at] | (codes[at + 1u] << 8u) | (codes[at + 2u] << 16u) | (codes[at + 3u] << 24u);
  }
  if (lane == 0u && block * 256u < params.blocks) { nested[1u + block] = largest; }
}
