// Rotary position embedding, half-split (Su et al. 2021; rotate_half in transformers), in place on the query and key
// heads of qkv. sign = 1 forward, −1 for the gradient (the transposed rotation). Tables are made on the CPU in float64:
// WGSL's own sin and cos are rough. NEIGHBOURS: x in 16 bits, two pairs an invocation.
#include "common/indexing.wgsl"

#if NEIGHBOURS
const PAIRS = 2u;
fn cosine(angle: u32) -> vec2<f32> { return vec2<f32>(cosines[angle], cosines[angle + 1u]); }
fn sine(angle: u32) -> vec2<f32> { return vec2<f32>(sines[angle], sines[angle + 1u]) * params.sign; }
#else
const PAIRS = 1u;
fn cosine(angle: u32) -> f32 { return cosines[angle]; }
fn sine(angle: u32) -> f32 { return sines[angle] * params.sign; }
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = (workgroup_index(group, groups) * 64u + lane) * PAIRS;
  let pairs = params.heads * params.half;
  let token = index / pairs;
  if (token >= step.tokens) { return; }
  let head = (index % pairs) / params.half;
  let i = index % params.half;
  let angle = positions[token] * params.half + i;
  let c = cosine(angle);
  let s = sine(angle);
  let at = (token * params.stride + head * params.head_dim + i) / PAIRS;
  let other = at + params.half / PAIRS;
  let a = load_x(at);
  let b = load_x(other);
  store_x(at, a * c - b * s);
  store_x(other, b * c + a * s);
}
