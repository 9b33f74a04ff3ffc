// Tables in 8 bits: four codes a word, each a signed byte, times the scale of its block of 64 elements.
fn signed_bytes(word: u32) -> vec4<f32> {
  let w = bitcast<i32>(word);
  return vec4<f32>(f32(extractBits(w, 0u, 8u)), f32(extractBits(w, 8u, 8u)), f32(extractBits(w, 16u, 8u)), f32(extractBits(w, 24u, 8u)));
}

fn signed_byte(word: u32, i: u32) -> f32 {
  return f32(extractBits(bitcast<i32>(word), (i & 3u) * 8u, 8u));
}

// Which of a table's scales is element i's.
fn scale_block(i: u32) -> u32 {
  return i >> 6u;
}
