// For matrices that a subgroup of 32 multiplies at once. Sums declared in a loop begin as `= Sums()`: without, one
// driver's keep what the round before left in them.

// Eight f16 of what is no larger than f16 can hold.
fn halves(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw));
}
fn within_f16(x: vec4<f32>) -> vec4<f32> { return clamp(x, vec4<f32>(-65504.0), vec4<f32>(65504.0)); }

// Gradients are small numbers: a mean loss divides them by the tokens of a whole window. A power of two near that number
// lifts them into the range of f16, and what is computed from them is lowered by its inverse; both by their exponents.
fn lift() -> f32 {
  return bitcast<f32>((254u - clamp(bitcast<u32>(step.inverse_trained_tokens) >> 23u, 1u, 253u)) << 23u);
}
fn lower() -> f32 {
  return bitcast<f32>(clamp(bitcast<u32>(step.inverse_trained_tokens) >> 23u, 1u, 253u) << 23u);
}
