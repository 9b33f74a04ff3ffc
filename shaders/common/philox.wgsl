// Philox4x32-10 (Salmon et al. 2011): four random words from a counter and a key, the same wherever and whenever asked.
fn multiply_high(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let first = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let second = (a & 0xffffu) * (b >> 16u) + (first & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (first >> 16u) + (second >> 16u);
}

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    c = vec4<u32>(
      multiply_high(0xcd9e8d57u, c.z) ^ c.y ^ k.x, 0xcd9e8d57u * c.z,
      multiply_high(0xd2511f53u, c.x) ^ c.w ^ k.y, 0xd2511f53u * c.x);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

// LoRA's dropout of elements 4·index … + 3 of a module's input: a factor for what stays, 1 / (1 − p), and one for the rest, 0.
fn dropout_factors(index: u32) -> vec4<f32> {
  let random = philox(vec4<u32>(index, step.micro_batch, step.number, 0u), vec2<u32>(step.seed, params.mask_id));
  return select(vec4<f32>(params.dropped_scale), vec4<f32>(params.kept_scale), random >= vec4<u32>(params.threshold));
}
