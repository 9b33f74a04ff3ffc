// Correctly rounded arithmetic by integers: WGSL's own division is only good to 2.5 ULP, and a code flips otherwise.

// 1 / x for a positive normal x whose reciprocal is normal, rounded to nearest.
fn exact_reciprocal(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let exponent = bits >> 23u;
  let mantissa = (bits & 0x7fffffu) | 0x800000u;
  if (mantissa == 0x800000u) { return bitcast<f32>((254u - exponent) << 23u); }
  // 2^48 / mantissa by long division: 24 bits of result and one to round by. It never ends exactly, as the mantissa is
  // not a power of two, so the last bit alone decides.
  var remainder = 0x800000u;
  var quotient = 0u;
  for (var i = 0u; i < 25u; i++) {
    remainder = remainder << 1u;
    quotient = quotient << 1u;
    if (remainder >= mantissa) {
      remainder -= mantissa;
      quotient |= 1u;
    }
  }
  let rounded = (quotient >> 1u) + (quotient & 1u);
  return bitcast<f32>(((253u - exponent) << 23u) + (rounded - 0x800000u));
}

// (hi·2^32 + lo) / n · 2^scale, rounded to nearest even; n < 2^31, the sum not zero, the result normal.
fn exact_quotient(hi: u32, lo: u32, n: u32, scale: i32) -> f32 {
  var remainder = 0u;
  var quotient = 0u;
  var digits = 0u; // significant bits so far
  var exponent = 64;
  // Bits of the sum from the top, then zeros, until 25 significant bits are there.
  for (var i = 0u; digits < 25u && i < 160u; i++) {
    var bit = 0u;
    if (i < 32u) { bit = (hi >> (31u - i)) & 1u; } else if (i < 64u) { bit = (lo >> (63u - i)) & 1u; }
    remainder = (remainder << 1u) | bit;
    quotient = quotient << 1u;
    if (remainder >= n) {
      remainder -= n;
      quotient |= 1u;
    }
    if (quotient != 0u) { digits += 1u; }
    exponent -= 1;
  }
  var sticky = remainder != 0u;
  // Bits of the sum that were not brought down yet count as remainder.
  if (exponent > 0) {
    let left = u32(exponent);
    if (left >= 32u) { sticky = sticky || lo != 0u || (hi & ((1u << (left - 32u)) - 1u)) != 0u; }
    else { sticky = sticky || (lo & ((1u << left) - 1u)) != 0u; }
  }
  var mantissa = quotient >> 1u;
  if ((quotient & 1u) == 1u && (sticky || (mantissa & 1u) == 1u)) { mantissa += 1u; }
  // value = mantissa · 2^(exponent + 1 + scale), mantissa in [2^23, 2^24]
  let biased = u32(exponent + 1 + scale + 23 + 127);
  return bitcast<f32>((biased << 23u) + (mantissa - 0x800000u));
}
