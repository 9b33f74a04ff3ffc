// Blocks of 64 elements to 4-bit codes and absmax. Eight invocations share a block; each makes one word of eight codes.
// Bindings: source (words in the checkpoint's dtype), thresholds (15 midpoints, then the 16 codes in the order of their values),
// codes, absmax, flags (non-finite).
#include "common/indexing.wgsl"
#include "common/float_dtypes.wgsl"
#include "common/exact.wgsl"

var<workgroup> maxima: array<f32, 256>;

// NaN and Inf by their bits: WGSL may assume that there are none.
fn finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// x · inverse, also for a subnormal x, which a GPU may take for zero: its bits times inverse · 2^-149, made by taking 149
// from the exponent, since a compiler may fold constant factors into one that is subnormal itself. An inverse too small
// for that makes a product near zero.
fn scaled(x: f32, inverse: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x800000u) { return x * inverse; }
  let inverse_bits = bitcast<u32>(inverse);
  if ((inverse_bits >> 23u) <= 149u) { return 0.0; }
  let product = f32(magnitude) * bitcast<f32>(inverse_bits - (149u << 23u));
  return select(product, -product, bits > magnitude);
}

fn code_of(x: f32) -> u32 {
  var place = 0u;
  for (var i = 0u; i < 15u; i++) { place += select(0u, 1u, x > thresholds[i]); }
  return u32(thresholds[15u + place]);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let word = workgroup_index(group, groups) * 256u + lane;
  let block = word >> 3u;
  var values: array<f32, 8>;
  var largest = 0.0;
  for (var j = 0u; j < 8u; j++) {
    let i = word * 8u + j;
    var x = 0.0;
    if (i < params.elements) { x = decode_element(source[element_word(i)], i); }
    if (!finite(x)) { atomicMin(&flags[0], params.tensor); }
    values[j] = x;
    largest = max(largest, abs(x));
  }
  maxima[lane] = largest;
  workgroupBarrier();
  let first = lane & ~7u;
  for (var j = 0u; j < 8u; j++) { largest = max(largest, maxima[first + j]); }
  if (word * 8u >= params.elements) { return; }
  // A block of zeros gets the code of 0 everywhere, whatever double quantization makes of its absmax.
  var inverse = 0.0;
  if (largest > 0.0) { inverse = exact_reciprocal(largest); }
  var packed = 0u;
  for (var j = 0u; j < 8u; j++) {
    // The even element is a byte's high nibble; padding behind the last element is the code of 0.
    packed |= code_of(scaled(values[j], inverse)) << ((j ^ 1u) * 4u);
  }
  codes[params.first_word + word] = packed;
  if ((lane & 7u) == 0u) { absmax[params.first_block + block] = largest; }
}
