// What a product of query and key is in the softmax: scaled and, with CAPPED, soft-capped.
#include "common/soft_cap.wgsl"

#if CAPPED
fn score_of(product: vec4<f32>) -> vec4<f32> { return soft_cap(product * params.scale, params.soft_cap); }
// The gradient of the scaled product from that of the score.
fn through_cap(gradient: vec4<f32>, score: vec4<f32>) -> vec4<f32> { return gradient * soft_cap_slope(score, params.soft_cap); }
#else
fn score_of(product: vec4<f32>) -> vec4<f32> { return product * params.scale; }
fn through_cap(gradient: vec4<f32>, score: vec4<f32>) -> vec4<f32> { return gradient; }
#endif
