// cap · tanh(x / cap) (Gemma Team 2024). WGSL's own tanh may be a difference of exponentials, which loses small
// arguments and overflows on large ones: Lambert's continued fraction below 0.6 (relative error 1e-8), exponentials above.
fn soft_cap(x: vec4<f32>, cap: f32) -> vec4<f32> {
  let t = x / cap;
  let a = abs(t);
  let s = min(a * a, vec4<f32>(0.36));
  let small = t * (10395.0 + s * (1260.0 + s * 21.0)) / (10395.0 + s * (4725.0 + s * (210.0 + s)));
  let large = sign(t) * (1.0 - 2.0 / (exp(2.0 * min(a, vec4<f32>(20.0))) + 1.0));
  return cap * select(large, small, a < vec4<f32>(0.6));
}

// Its derivative from its result; 0 for what masks scores.
fn soft_cap_slope(y: vec4<f32>, cap: f32) -> vec4<f32> {
  let t = y / cap;
  return max(vec4<f32>(0.0), 1.0 - t * t);
}
