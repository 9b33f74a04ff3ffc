// dq = scale · ds·k for one head and ROWS queries, ds = p ∘ (do·vᵀ − delta), p recomputed from lse; tiles of keys in turn.
// delta [heads, T] = Σ_d do·o, what the softmax's gradient subtracts from each row, is made here first and written for
// the key and value kernel. d_qkv is laid out as qkv; this kernel writes its query part.
#include "common/attention.wgsl"
#include "common/attention_tile.wgsl"
#include "common/attention_scores.wgsl"
#include "common/attention_query_rows.wgsl"
#include "common/attention_gradient.wgsl"

var<private> query_at: u32;
var<private> key_at: u32;
var<private> value_at: u32;
var<workgroup> row_lse: array<vec4<f32>, A_WIDTH>;
var<workgroup> row_delta: array<vec4<f32>, A_WIDTH>;

fn a_vector_0(query: u32, v: u32) -> vec4<f32> { return qkv_vector(query, query_at, v); }
fn b_vector_0(key: u32, v: u32) -> vec4<f32> { return qkv_vector(key, key_at, v); }
fn a_vector_1(query: u32, v: u32) -> vec4<f32> { return d_o_vector(query, query_at, v); }
fn b_vector_1(key: u32, v: u32) -> vec4<f32> { return qkv_vector(key, value_at, v); }
fn out_vector_0(key: u32, v: u32) -> vec4<f32> { return qkv_vector(key, key_at, v); }
fn store_0(query: u32, v: u32, value: vec4<f32>) {
  let dq = value * params.scale;
#if ALIGNED
  d_qkv[query * params.stride + query_at + v] = dq;
#else
#for e 4
  if (4u * v + {e}u < HEAD_DIM) { d_qkv[query * params.stride + query_at + 4u * v + {e}u] = dq[{e}]; }
#endfor
#endif
}

#if ALIGNED
fn o_vector(row: u32, head_at: u32, v: u32) -> vec4<f32> { return load_o(vector_at(row, params.o_stride, head_at, v)); }
#else
fn o_vector(row: u32, head_at: u32, v: u32) -> vec4<f32> {
  let at = vector_at(row, params.o_stride, head_at, v);
  return select(vec4<f32>(0.0), vec4<f32>(o[at], o[at + 1u], o[at + 2u], o[at + 3u]), within_head(v));
}
#endif

// The invocation's part of a row's do·o.
fn partial_delta(query: u32, lane: u32) -> f32 {
  var sum = 0.0;
  for (var v = lane % TX; v < HEAD_VECTORS; v += TX) {
    sum += dot(d_o_vector(query, query_at, v), o_vector(query, query_at, v));
  }
  return sum;
}

// row_lse and row_delta, and delta in memory.
fn make_row_figures(q0: u32, head: u32, lane: u32) {
#for i RM
  {
    let row = q0 + 4u * (lane / TX + {i}u * TY);
    share({i}u, vec4<f32>(partial_delta(row, lane), partial_delta(row + 1u, lane), partial_delta(row + 2u, lane), partial_delta(row + 3u, lane)), lane);
  }
#endfor
  workgroupBarrier();
#for i RM
  if (lane % TX == 0u) {
    let row = q0 + 4u * (lane / TX + {i}u * TY);
    let at = head * params.capacity;
    let last = step.tokens - 1u;
    let sums = shared_sum({i}u, lane);
    row_delta[lane / TX + {i}u * TY] = sums;
    row_lse[lane / TX + {i}u * TY] = vec4<f32>(lse[at + min(row, last)], lse[at + min(row + 1u, last)], lse[at + min(row + 2u, last)], lse[at + min(row + 3u, last)]);
#for c 4
    if (row + {c}u < step.tokens) { delta[at + row + {c}u] = sums[{c}]; }
#endfor
  }
#endfor
}

@compute @workgroup_size(TX * TY)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  // The last queries see most keys: they go first.
  let q0 = (groups.y - 1u - group.y) * ROWS;
  if (q0 >= step.tokens) { return; }
  query_at = head * HEAD_STEP;
  key_at = params.k_at + (head / params.group) * HEAD_STEP;
  value_at = params.v_at + (head / params.group) * HEAD_STEP;
  make_row_figures(q0, head, lane);
  let range = key_range(q0, lane);
  for (var k0 = range.x; k0 < range.y; k0 += COLUMNS) {
    fetch_blocks_0(q0, k0, 0u, lane);
    make_scores_0(q0, k0, lane);
    fetch_blocks_1(q0, k0, 0u, lane);
#for i RM
#for c 4
#for j RN
    score_0_{i}_{c}_{j} = score_of(score_0_{i}_{c}_{j});
#endfor
#endfor
#endfor
    if (!all_visible(q0, ROWS, k0, COLUMNS)) { mask_scores(q0, k0, lane); }
    make_scores_1(q0, k0, lane);
    fetch_rows_0(k0, 0u, lane);
#for i RM
    {
      let row_figure = lane / TX + {i}u * TY;
      let top = row_lse[row_figure];
      let mean = row_delta[row_figure];
#for c 4
#for j RN
      score_1_{i}_{c}_{j} = exp(score_0_{i}_{c}_{j} - vec4<f32>(top[{c}])) * (score_1_{i}_{c}_{j} - vec4<f32>(mean[{c}]));
      score_0_{i}_{c}_{j} = through_cap(score_1_{i}_{c}_{j}, score_0_{i}_{c}_{j});
#endfor
#endfor
    }
#endfor
    add_out_0(k0, lane);
  }
  store_out_0(q0, lane);
}
