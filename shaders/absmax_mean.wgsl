// The mean of a tensor's absmax values, the offset of double quantization, to the last bit on every GPU: values become
// 32-bit fixed point relative to the largest, are summed in 64 bits, and divided exactly. One workgroup.
#include "common/exact.wgsl"

var<workgroup> largest_bits: array<u32, 256>;
var<workgroup> sums: array<vec2<u32>, 256>; // (high, low)

fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.y + b.y;
  return vec2<u32>(a.x + b.x + select(0u, 1u, low < a.y), low);
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
  // Positive floats order as their bits do.
  var top = 0u;
  for (var i = lane; i < params.blocks; i += 256u) { top = max(top, bitcast<u32>(absmax[i])); }
  largest_bits[lane] = top;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half >>= 1u) {
    if (lane < half) { largest_bits[lane] = max(largest_bits[lane], largest_bits[lane + half]); }
    workgroupBarrier();
  }
  let exponent = largest_bits[0] >> 23u;
  var sum = vec2<u32>(0u);
  for (var i = lane; i < params.blocks; i += 256u) {
    let bits = bitcast<u32>(absmax[i]);
    let shift = exponent - (bits >> 23u);
    let fixed = ((bits & 0x7fffffu) | 0x800000u) << 8u;
    // Subnormals count as zero, as the GPU itself may treat them.
    if ((bits >> 23u) != 0u && shift < 32u) { sum = add64(sum, vec2<u32>(0u, fixed >> shift)); }
  }
  sums[lane] = sum;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half >>= 1u) {
    if (lane < half) { sums[lane] = add64(sums[lane], sums[lane + half]); }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let total = sums[0];
    var mean = 0.0;
    // One unit is 2^(exponent − 127 − 23 − 8).
    if (total.x != 0u || total.y != 0u) { mean = exact_quotient(total.x, total.y, params.blocks, i32(exponent) - 158); }
    offset[0] = mean;
  }
}
