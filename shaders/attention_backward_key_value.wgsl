// dk = scale · dsᵀ·q and dv = pᵀ·do for one key head and 32 keys; every query head of the group and every later tile of
// queries adds here, so no two workgroups write the same gradient. Rows of the score tile are keys, columns queries.
// d_qkv is laid out as qkv; this kernel writes its key and value parts.
#include "common/attention.wgsl"

var<workgroup> probabilities: array<f32, TILE * 33u>;
var<workgroup> d_scores: array<f32, TILE * 33u>;

// Dimensions chunk·16 … of the keys or values rows first … first+31, zeros outside.
fn load_keys(first: u32, chunk: u32, at: u32, lane: u32) {
  for (var i = lane; i < TILE * CHUNK; i += 256u) {
    let row = i / CHUNK;
    let d = chunk * CHUNK + i % CHUNK;
    var value = 0.0;
    if (first + row < step.tokens && d < HEAD_DIM) { value = qkv[(first + row) * params.stride + at + d]; }
    row_chunk[row * STRIDE + i % CHUNK] = value;
  }
}
// Dimensions chunk·16 … of the query rows first … first+31, zeros outside.
fn load_queries(first: u32, chunk: u32, at: u32, lane: u32) {
  for (var i = lane; i < TILE * CHUNK; i += 256u) {
    let row = i / CHUNK;
    let d = chunk * CHUNK + i % CHUNK;
    var value = 0.0;
    if (first + row < step.tokens && d < HEAD_DIM) { value = qkv[(first + row) * params.stride + at + d]; }
    column_chunk[row * STRIDE + i % CHUNK] = value;
  }
}
// Dimensions chunk·16 … of the output gradient rows first … first+31, zeros outside.
fn load_gradient(first: u32, chunk: u32, at: u32, lane: u32) {
  for (var i = lane; i < TILE * CHUNK; i += 256u) {
    let row = i / CHUNK;
    let d = chunk * CHUNK + i % CHUNK;
    var value = 0.0;
    if (first + row < step.tokens && d < HEAD_DIM) { value = d_o[(first + row) * params.o_stride + at + d]; }
    column_chunk[row * STRIDE + i % CHUNK] = value;
  }
}
fn store_score(row: u32, column: u32, k0: u32, q0: u32, s: f32, dp: f32, head: u32) {
  let query = q0 + column;
  var p = 0.0;
  var ds = 0.0;
  if (visible(query, k0 + row)) {
    let at = head * params.capacity + query;
    p = exp(s * params.scale - lse[at]);
    ds = p * (dp - delta[at]) * params.scale;
  }
  probabilities[row * 33u + column] = p;
  d_scores[row * 33u + column] = ds;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let lx = lane % 16u;
  let ly = lane / 16u;
  let kv_head = group.y;
  let k0 = group.x * TILE;
  if (k0 >= step.tokens) { return; }
  if (lane == 0u) {
    // The last query that can see the tile's last key; documents end no earlier the later the token.
    let last = min(k0 + TILE, step.tokens) - 1u;
    var end = documents[last].y;
    if (params.window > 0u) { end = min(end, last + params.window); }
    bounds = vec2<u32>(k0, end);
  }
  let range = workgroupUniformLoad(&bounds);
  var dk0: array<f32, CHUNKS>;
  var dk1: array<f32, CHUNKS>;
  var dv0: array<f32, CHUNKS>;
  var dv1: array<f32, CHUNKS>;
  for (var member = 0u; member < params.group; member++) {
    let head = kv_head * params.group + member;
    for (var q0 = range.x; q0 < range.y; q0 += TILE) {
      var s = vec4<f32>(0.0);
      var dp = vec4<f32>(0.0);
      for (var chunk = 0u; chunk < CHUNKS; chunk++) {
        load_keys(k0, chunk, params.k_at + kv_head * HEAD_DIM, lane);
        load_queries(q0, chunk, head * HEAD_DIM, lane);
        workgroupBarrier();
        s += dot_chunk(lx, ly);
        workgroupBarrier();
        load_keys(k0, chunk, params.v_at + kv_head * HEAD_DIM, lane);
        load_gradient(q0, chunk, head * HEAD_DIM, lane);
        workgroupBarrier();
        dp += dot_chunk(lx, ly);
        workgroupBarrier();
      }
      store_score(ly, lx, k0, q0, s.x, dp.x, head);
      store_score(ly, lx + 16u, k0, q0, s.y, dp.y, head);
      store_score(ly + 16u, lx, k0, q0, s.z, dp.z, head);
      store_score(ly + 16u, lx + 16u, k0, q0, s.w, dp.w, head);
      workgroupBarrier();
      for (var chunk = 0u; chunk < CHUNKS; chunk++) {
        load_queries(q0, chunk, head * HEAD_DIM, lane);
        workgroupBarrier();
        var sums = vec2<f32>(dk0[chunk], dk1[chunk]);
        for (var c = 0u; c < TILE; c++) {
          sums += vec2<f32>(d_scores[ly * 33u + c], d_scores[(ly + 16u) * 33u + c]) * column_chunk[c * STRIDE + lx];
        }
        dk0[chunk] = sums.x;
        dk1[chunk] = sums.y;
        workgroupBarrier();
        load_gradient(q0, chunk, head * HEAD_DIM, lane);
        workgroupBarrier();
        sums = vec2<f32>(dv0[chunk], dv1[chunk]);
        for (var c = 0u; c < TILE; c++) {
          sums += vec2<f32>(probabilities[ly * 33u + c], probabilities[(ly + 16u) * 33u + c]) * column_chunk[c * STRIDE + lx];
        }
        dv0[chunk] = sums.x;
        dv1[chunk] = sums.y;
        workgroupBarrier();
      }
    }
  }
  for (var half = 0u; half < 2u; half++) {
    let token = k0 + ly + half * 16u;
    if (token >= step.tokens) { continue; }
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      let d = chunk * CHUNK + lx;
      if (d < HEAD_DIM) {
        let at = token * params.stride + kv_head * HEAD_DIM + d;
        d_qkv[at + params.k_at] = select(dk0[chunk], dk1[chunk], half == 1u);
        d_qkv[at + params.v_at] = select(dv0[chunk], dv1[chunk], half == 1u);
      }
    }
  }
}
