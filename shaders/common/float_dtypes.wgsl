// Elements of a tensor kept in its checkpoint's dtype. DTYPE: 0 = f32, 1 = f16, 2 = bf16.
// f16 is decoded with integers: unpack2x16float may flush subnormals to zero.
fn f16_to_f32(h: u32) -> f32 {
  let sign = (h & 0x8000u) << 16u;
  let exponent = (h >> 10u) & 0x1fu;
  let fraction = h & 0x3ffu;
  if (exponent == 0u) {
    let magnitude = f32(fraction) * 5.9604644775390625e-8; // 2^-24
    return select(magnitude, -magnitude, sign != 0u);
  }
  let wide = select(exponent + 112u, 255u, exponent == 31u);
  return bitcast<f32>(sign | (wide << 23u) | (fraction << 13u));
}

fn bf16_to_f32(h: u32) -> f32 {
  return bitcast<f32>(h << 16u);
}

// Element i of packed words; `word` is the word that holds it.
fn decode_element(word: u32, i: u32) -> f32 {
  if (DTYPE == 0u) { return bitcast<f32>(word); }
  let half = (word >> ((i & 1u) * 16u)) & 0xffffu;
  if (DTYPE == 1u) { return f16_to_f32(half); }
  return bf16_to_f32(half);
}

fn element_word(i: u32) -> u32 {
  return select(i >> 1u, i, DTYPE == 0u);
}
