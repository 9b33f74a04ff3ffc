#include "common/number.wgsl"

// Number c of the weight from `at` on, which is counted in elements: a weight need not begin at a whole vector.
fn weight_number(at: u32, c: u32) -> Number {
#if VECTORS
  let i = at + 4u * c;
  return vec4<f32>(weight[i], weight[i + 1u], weight[i + 2u], weight[i + 3u]);
#else
  return weight[at + c];
#endif
}
