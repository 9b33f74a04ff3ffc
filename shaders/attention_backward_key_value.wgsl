// dv = pᵀ·do and dk = scale · dsᵀ·q for one key head and ROWS keys; rows of the scores are keys, columns queries. Every
// query head of the group and every later tile of queries adds here, so that no two workgroups write the same gradient.
// SPLIT where that makes too few workgroups: one for each query head and for each of params.parts parts of the queries,
// each writing its sums to partials [T, heads, parts, 2, HEAD_DIM] (dk, then dv), which attention_backward_sum adds.
// d_qkv is laid out as qkv; without SPLIT this kernel writes its key and value parts.
#include "common/attention.wgsl"
#include "common/attention_tile.wgsl"
#include "common/attention_scores.wgsl"
#include "common/attention_gradient.wgsl"

var<private> query_at: u32;
var<private> key_at: u32;
var<private> value_at: u32;
var<private> partial_at: u32;

fn a_vector_0(key: u32, v: u32) -> vec4<f32> { return qkv_vector(key, key_at, v); }
fn b_vector_0(query: u32, v: u32) -> vec4<f32> { return qkv_vector(query, query_at, v); }
fn a_vector_1(key: u32, v: u32) -> vec4<f32> { return qkv_vector(key, value_at, v); }
fn b_vector_1(query: u32, v: u32) -> vec4<f32> { return d_o_vector(query, query_at, v); }
fn out_vector_0(query: u32, v: u32) -> vec4<f32> { return d_o_vector(query, query_at, v); }
fn out_vector_1(query: u32, v: u32) -> vec4<f32> { return qkv_vector(query, query_at, v); }

fn store(at: u32, v: u32, value: vec4<f32>) {
#if ALIGNED
#if SPLIT
  partials[at + v] = value;
#else
  d_qkv[at + v] = value;
#endif
#else
#for e 4
  if (4u * v + {e}u < HEAD_DIM) {
#if SPLIT
    partials[at + 4u * v + {e}u] = value[{e}];
#else
    d_qkv[at + 4u * v + {e}u] = value[{e}];
#endif
  }
#endfor
#endif
}
#if SPLIT
fn partial_of(key: u32) -> u32 { return key * params.heads * params.parts * 2u * HEAD_STEP + partial_at; }
fn store_0(key: u32, v: u32, dv: vec4<f32>) { store(partial_of(key) + HEAD_STEP, v, dv); }
fn store_1(key: u32, v: u32, dk: vec4<f32>) { store(partial_of(key), v, dk * params.scale); }
#else
fn store_0(key: u32, v: u32, dv: vec4<f32>) { store(key * params.stride + value_at, v, dv); }
fn store_1(key: u32, v: u32, dk: vec4<f32>) { store(key * params.stride + key_at, v, dk * params.scale); }
#endif

// Masks what a key is not seen by.
fn mask_scores(k0: u32, q0: u32, lane: u32) {
#for j RN
  {
    let query = q0 + 4u * (lane % TX + {j}u * TX);
    let queries = vec4<u32>(query) + vec4<u32>(0u, 1u, 2u, 3u);
    let first = vec4<u32>(first_key(query), first_key(query + 1u), first_key(query + 2u), first_key(query + 3u));
#for i RM
#for c 4
    let key_{i}_{c} = vec4<u32>(k0 + 4u * (lane / TX + {i}u * TY) + {c}u);
    score_0_{i}_{c}_{j} = select(vec4<f32>(MASKED), score_0_{i}_{c}_{j}, (key_{i}_{c} >= first) & (key_{i}_{c} <= queries));
#endfor
#endfor
  }
#endfor
}

// log Σ exp of four queries from one on; so large behind the last that their probabilities are zero.
fn four_lse(at: u32, query: u32) -> vec4<f32> {
  let last = step.tokens - 1u;
  let figures = vec4<f32>(lse[at + min(query, last)], lse[at + min(query + 1u, last)], lse[at + min(query + 2u, last)], lse[at + min(query + 3u, last)]);
  return select(vec4<f32>(-MASKED), figures, vec4<u32>(query) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(step.tokens));
}
fn four_delta(at: u32, query: u32) -> vec4<f32> {
  let last = step.tokens - 1u;
  return vec4<f32>(delta[at + min(query, last)], delta[at + min(query + 1u, last)], delta[at + min(query + 2u, last)], delta[at + min(query + 3u, last)]);
}

// What the queries from begin to end of one query head add.
fn add_queries(k0: u32, begin: u32, end: u32, head: u32, lane: u32) {
  query_at = head * HEAD_STEP;
  let figures_at = head * params.capacity;
  for (var q0 = begin; q0 < end; q0 += COLUMNS) {
    fetch_blocks_0(k0, q0, 0u, lane);
    make_scores_0(k0, q0, lane);
    fetch_blocks_1(k0, q0, 0u, lane);
#for i RM
#for c 4
#for j RN
    score_0_{i}_{c}_{j} = score_of(score_0_{i}_{c}_{j});
#endfor
#endfor
#endfor
    if (!all_visible(q0, COLUMNS, k0, ROWS)) { mask_scores(k0, q0, lane); }
    make_scores_1(k0, q0, lane);
    fetch_rows_0(q0, 0u, lane);
#for j RN
    {
      let query = q0 + 4u * (lane % TX + {j}u * TX);
      let top = four_lse(figures_at, query);
      let mean = four_delta(figures_at, query);
#for i RM
#for c 4
      let score_{i}_{c} = score_0_{i}_{c}_{j};
      score_0_{i}_{c}_{j} = exp(score_{i}_{c} - top);
      score_1_{i}_{c}_{j} = through_cap(score_0_{i}_{c}_{j} * (score_1_{i}_{c}_{j} - mean), score_{i}_{c});
#endfor
#endfor
    }
#endfor
    add_out_0(q0, lane);
    fetch_rows_1(q0, 0u, lane);
    add_out_1(q0, lane);
  }
}

@compute @workgroup_size(TX * TY)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // The first keys are seen by most queries: they go first.
  let k0 = group.y * ROWS;
  if (k0 >= step.tokens) { return; }
  // One after the last query that can see the tile's last key.
  let end = agreed_bounds(vec2<u32>(k0, end_query(k0 + ROWS - 1u)), lane).y;
#if SPLIT
  let head = group.x;
  let kv_head = head / params.group;
  partial_at = (head * params.parts + group.z) * 2u * HEAD_STEP;
#else
  let kv_head = group.x;
#endif
  key_at = params.k_at + kv_head * HEAD_STEP;
  value_at = params.v_at + kv_head * HEAD_STEP;
#if SPLIT
  let tiles = (end - k0 + COLUMNS - 1u) / COLUMNS;
  let begin = k0 + tiles * group.z / params.parts * COLUMNS;
  add_queries(k0, begin, min(end, k0 + tiles * (group.z + 1u) / params.parts * COLUMNS), head, lane);
#else
  for (var member = 0u; member < params.group; member++) {
    add_queries(k0, k0, end, kv_head * params.group + member, lane);
  }
#endif
  store_out_0(k0, lane);
  store_out_1(k0, lane);
}
