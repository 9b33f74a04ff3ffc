// Activations in 16 bits lie in words, two to a word, the first in its low half. By functions that every device has, not by
// the type f16, which some lack. Packing rounds to a neighbour, to which of the two is the device's choice; a number that
// f16 cannot hold becomes the largest that it can. What binds them reads and writes them by load_… and store_….
fn from_halves_2(word: u32) -> vec2<f32> { return unpack2x16float(word); }
fn from_halves_4(words: vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)); }
fn to_halves_2(x: vec2<f32>) -> u32 { return pack2x16float(clamp(x, vec2<f32>(-65504.0), vec2<f32>(65504.0))); }
fn to_halves_4(x: vec4<f32>) -> vec2<u32> { return vec2<u32>(to_halves_2(x.xy), to_halves_2(x.zw)); }
