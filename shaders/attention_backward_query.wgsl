// dq = scale · ds·k for one head and 32 queries, ds = p ∘ (do·vᵀ − delta), p recomputed from lse; tiles of keys in turn.
// d_qkv is laid out as qkv; this kernel writes its query part.
#include "common/attention.wgsl"

var<workgroup> d_scores: array<f32, TILE * 33u>;

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
// Dimensions chunk·16 … of the output gradient rows first … first+31, zeros outside.
fn load_gradient(first: u32, chunk: u32, at: u32, lane: u32) {
  for (var i = lane; i < TILE * CHUNK; i += 256u) {
    let row = i / CHUNK;
    let d = chunk * CHUNK + i % CHUNK;
    var value = 0.0;
    if (first + row < step.tokens && d < HEAD_DIM) { value = d_o[(first + row) * params.o_stride + at + d]; }
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
fn d_score(query: u32, key: u32, s: f32, dp: f32, head: u32) -> f32 {
  if (!visible(query, key)) { return 0.0; }
  let row = head * params.capacity + query;
  return exp(s * params.scale - lse[row]) * (dp - delta[row]) * params.scale;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let lx = lane % 16u;
  let ly = lane / 16u;
  let head = group.y;
  let kv_head = head / params.group;
  let q0 = group.x * TILE;
  if (q0 >= step.tokens) { return; }
  if (lane == 0u) {
    var begin = documents[q0].x;
    if (params.window > 0u && q0 + 1u > params.window) { begin = max(begin, q0 + 1u - params.window); }
    bounds = vec2<u32>(begin, min(q0 + TILE, step.tokens));
  }
  let range = workgroupUniformLoad(&bounds);
  var out0: array<f32, CHUNKS>;
  var out1: array<f32, CHUNKS>;
  for (var k0 = range.x; k0 < range.y; k0 += TILE) {
    var s = vec4<f32>(0.0);
    var dp = vec4<f32>(0.0);
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      load_queries(q0, chunk, head * HEAD_DIM, lane);
      load_keys(k0, chunk, params.k_at + kv_head * HEAD_DIM, lane);
      workgroupBarrier();
      s += dot_chunk(lx, ly);
      workgroupBarrier();
      load_gradient(q0, chunk, head * HEAD_DIM, lane);
      load_keys(k0, chunk, params.v_at + kv_head * HEAD_DIM, lane);
      workgroupBarrier();
      dp += dot_chunk(lx, ly);
      workgroupBarrier();
    }
    d_scores[ly * 33u + lx] = d_score(q0 + ly, k0 + lx, s.x, dp.x, head);
    d_scores[ly * 33u + lx + 16u] = d_score(q0 + ly, k0 + lx + 16u, s.y, dp.y, head);
    d_scores[(ly + 16u) * 33u + lx] = d_score(q0 + ly + 16u, k0 + lx, s.z, dp.z, head);
    d_scores[(ly + 16u) * 33u + lx + 16u] = d_score(q0 + ly + 16u, k0 + lx + 16u, s.w, dp.w, head);
    workgroupBarrier();
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      load_keys(k0, chunk, params.k_at + kv_head * HEAD_DIM, lane);
      workgroupBarrier();
      var sums = vec2<f32>(out0[chunk], out1[chunk]);
      for (var c = 0u; c < TILE; c++) {
        sums += vec2<f32>(d_scores[ly * 33u + c], d_scores[(ly + 16u) * 33u + c]) * column_chunk[c * STRIDE + lx];
      }
      out0[chunk] = sums.x;
      out1[chunk] = sums.y;
      workgroupBarrier();
    }
  }
  for (var half = 0u; half < 2u; half++) {
    let token = q0 + ly + half * 16u;
    if (token >= step.tokens) { continue; }
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      let d = chunk * CHUNK + lx;
      if (d < HEAD_DIM) { d_qkv[token * params.stride + head * HEAD_DIM + d] = select(out0[chunk], out1[chunk], half == 1u); }
    }
  }
}
