// o = softmax(scale · q·kᵀ, soft-capped)·v for one new token of each sequence over its cached keys and values (kv_store.wgsl):
// a workgroup takes one query head of a token and SPAN keys. SPLIT: what it has goes to partials [T, heads, splits,
// HEAD_VECTORS + 1], the weighted sum of values, then its top score and sum of exponentials, which
// attention_decode_sum.wgsl puts together; else to o [T, heads · HEAD_DIM].
#include "common/reduce.wgsl"
#include "common/soft_cap.wgsl"

const MASKED = -1.0e30;
const PARTS = GROUP / HEAD_VECTORS;

var<workgroup> own: vec2<u32>;
var<workgroup> query: array<vec4<f32>, HEAD_VECTORS>;
var<workgroup> weights: array<f32, SPAN>;
var<workgroup> outs: array<vec4<f32>, GROUP>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let token = group.y;
  let begin = group.z * SPAN;
  if (token >= step.tokens) { return; }
  if (lane == 0u) { own = vec2<u32>(positions[token], slots[token]); }
  for (var v = lane; v < HEAD_VECTORS; v += GROUP) {
    var vector = vec4<f32>(0.0);
#for e 4
    if (4u * v + {e}u < HEAD_DIM) { vector[{e}] = qkv[token * params.stride + head * HEAD_DIM + 4u * v + {e}u]; }
#endfor
    query[v] = vector;
  }
  let found = workgroupUniformLoad(&own);
  let position = found.x;
  // The first key that is seen; the last is the token's own.
  var first = 0u;
  if (params.window > 0u && position + 1u > params.window) { first = position + 1u - params.window; }
  let end = min(position + 1u, begin + SPAN);
  let row = found.y * params.kv_heads + head / params.group;

  var top = MASKED;
  for (var j = lane; j < SPAN; j += GROUP) {
    let key = begin + j;
    var score = MASKED;
    if (key >= first && key < end) {
      var products = vec4<f32>(0.0);
      let at = row * HEAD_VECTORS * params.context + key;
      for (var v = 0u; v < HEAD_VECTORS; v++) { products += query[v] * keys[at + v * params.context]; }
      score = params.scale * ((products.x + products.y) + (products.z + products.w));
#if CAPPED
      score = soft_cap(vec4<f32>(score), params.soft_cap).x;
#endif
    }
    weights[j] = score;
    top = max(top, score);
  }
  top = reduce_max(top, lane);
  var sum = 0.0;
  for (var j = lane; j < SPAN; j += GROUP) {
    let weight = select(exp(weights[j] - top), 0.0, weights[j] <= MASKED);
    weights[j] = weight;
    sum += weight;
  }
  sum = reduce_sum(sum, lane);

  var out = vec4<f32>(0.0);
  let v = lane % HEAD_VECTORS;
  if (lane / HEAD_VECTORS < PARTS) {
    for (var key = max(first, begin) + lane / HEAD_VECTORS; key < end; key += PARTS) {
      out += weights[key - begin] * values[(row * params.context + key) * HEAD_VECTORS + v];
    }
  }
  outs[lane] = out;
  workgroupBarrier();
  if (lane < HEAD_VECTORS) {
    for (var part = 1u; part < PARTS; part++) { out += outs[part * HEAD_VECTORS + lane]; }
#if SPLIT
    let at = ((token * params.heads + head) * params.splits + group.z) * (HEAD_VECTORS + 1u);
    partials[at + lane] = out;
    if (lane == 0u) { partials[at + HEAD_VECTORS] = vec4<f32>(top, sum, 0.0, 0.0); }
#else
#for e 4
    if (4u * lane + {e}u < HEAD_DIM) { o[(token * params.heads + head) * HEAD_DIM + 4u * lane + {e}u] = out[{e}] / sum; }
#endfor
#endif
  }
}
