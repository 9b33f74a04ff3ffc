// o = softmax(scale · q·kᵀ, masked)·v for one head and 32 queries, online over tiles of keys (Dao et al. 2022), so that
// scores are never stored; lse [heads, T] keeps each row's log Σ exp for the backward pass.
// qkv [T, stride]: query heads, then key heads from k_at, value heads from v_at. o [T, heads · HEAD_DIM].
#include "common/attention.wgsl"

var<workgroup> scores: array<f32, TILE * 33u>;
var<workgroup> partial: array<f32, 256>;
var<workgroup> row_max: array<f32, TILE>;
var<workgroup> row_sum: array<f32, TILE>;
var<workgroup> row_rescale: array<f32, TILE>;

// Dimensions chunk·16 … of the query rows first … first+31, zeros outside.
fn load_queries(first: u32, chunk: u32, at: u32, lane: u32) {
  for (var i = lane; i < TILE * CHUNK; i += 256u) {
    let row = i / CHUNK;
    let d = chunk * CHUNK + i % CHUNK;
    var value = 0.0;
    if (first + row < step.tokens && d < HEAD_DIM) { value = qkv[(first + row) * params.stride + at + d]; }
    row_chunk[row * STRIDE + i % CHUNK] = value;
  }
}
// Dimensions chunk·16 … of the keys or values rows first … first+31, zeros outside.
fn load_keys(first: u32, chunk: u32, at: u32, lane: u32) {
  for (var i = lane; i < TILE * CHUNK; i += 256u) {
    let row = i / CHUNK;
    let d = chunk * CHUNK + i % CHUNK;
    var value = 0.0;
    if (first + row < step.tokens && d < HEAD_DIM) { value = qkv[(first + row) * params.stride + at + d]; }
    column_chunk[row * STRIDE + i % CHUNK] = value;
  }
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let lx = lane % 16u;
  let ly = lane / 16u;
  let head = group.y;
  let kv_head = head / params.group;
  let q0 = group.x * TILE;
  if (q0 >= step.tokens) { return; }
  if (lane < TILE) {
    row_max[lane] = MASKED;
    row_sum[lane] = 0.0;
  }
  if (lane == 0u) {
    // Documents begin no earlier the later the token, so the tile's first query decides the first key.
    var begin = documents[q0].x;
    if (params.window > 0u && q0 + 1u > params.window) { begin = max(begin, q0 + 1u - params.window); }
    bounds = vec2<u32>(begin, min(q0 + TILE, step.tokens));
  }
  let range = workgroupUniformLoad(&bounds);
  var out0: array<f32, CHUNKS>;
  var out1: array<f32, CHUNKS>;
  for (var k0 = range.x; k0 < range.y; k0 += TILE) {
    var s = vec4<f32>(0.0);
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      load_queries(q0, chunk, head * HEAD_DIM, lane);
      load_keys(k0, chunk, params.k_at + kv_head * HEAD_DIM, lane);
      workgroupBarrier();
      s += dot_chunk(lx, ly);
      workgroupBarrier();
    }
    s *= params.scale;
    scores[ly * 33u + lx] = select(MASKED, s.x, visible(q0 + ly, k0 + lx));
    scores[ly * 33u + lx + 16u] = select(MASKED, s.y, visible(q0 + ly, k0 + lx + 16u));
    scores[(ly + 16u) * 33u + lx] = select(MASKED, s.z, visible(q0 + ly + 16u, k0 + lx));
    scores[(ly + 16u) * 33u + lx + 16u] = select(MASKED, s.w, visible(q0 + ly + 16u, k0 + lx + 16u));
    workgroupBarrier();
    // Eight invocations a row, four scores each.
    let row = lane / 8u;
    let first = row * 33u + (lane % 8u) * 4u;
    var top = row_max[row];
    for (var c = 0u; c < 4u; c++) { top = max(top, scores[first + c]); }
    partial[lane] = top;
    workgroupBarrier();
    for (var i = 0u; i < 8u; i++) { top = max(top, partial[row * 8u + i]); }
    var sum = 0.0;
    for (var c = 0u; c < 4u; c++) {
      let score = scores[first + c];
      let p = select(0.0, exp(score - top), score > 0.5 * MASKED);
      scores[first + c] = p;
      sum += p;
    }
    workgroupBarrier();
    partial[lane] = sum;
    workgroupBarrier();
    if (lane % 8u == 0u) {
      var total = 0.0;
      for (var i = 0u; i < 8u; i++) { total += partial[lane + i]; }
      let rescale = exp(row_max[row] - top);
      row_rescale[row] = rescale;
      row_sum[row] = row_sum[row] * rescale + total;
      row_max[row] = top;
    }
    workgroupBarrier();
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      load_keys(k0, chunk, params.v_at + kv_head * HEAD_DIM, lane);
      workgroupBarrier();
      var sums = vec2<f32>(out0[chunk] * row_rescale[ly], out1[chunk] * row_rescale[ly + 16u]);
      for (var c = 0u; c < TILE; c++) {
        sums += vec2<f32>(scores[ly * 33u + c], scores[(ly + 16u) * 33u + c]) * column_chunk[c * STRIDE + lx];
      }
      out0[chunk] = sums.x;
      out1[chunk] = sums.y;
      workgroupBarrier();
    }
  }
  for (var half = 0u; half < 2u; half++) {
    let row = ly + half * 16u;
    let token = q0 + row;
    if (token >= step.tokens) { continue; }
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      let d = chunk * CHUNK + lx;
      if (d < HEAD_DIM) { o[(token * params.heads + head) * HEAD_DIM + d] = select(out0[chunk], out1[chunk], half == 1u) / row_sum[row]; }
    }
    if (lx == 0u) { lse[head * params.capacity + token] = row_max[row] + log(row_sum[row]); }
  }
}
