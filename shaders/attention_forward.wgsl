// o = softmax(scale · q·kᵀ, masked)·v for one head and ROWS queries, online over tiles of keys (Dao et al. 2022), so that
// scores are never stored; lse [heads, T] keeps each row's log Σ exp for the backward pass.
// qkv [T, stride]: query heads, then key heads from k_at, value heads from v_at. o [T, heads · HEAD_DIM].
#include "common/attention.wgsl"
#include "common/attention_tile.wgsl"
#include "common/attention_scores.wgsl"
#include "common/attention_query_rows.wgsl"

// Above MASKED, so that exp(MASKED − row_max) is zero in a row that has seen no key yet.
const NO_KEY = 0.5 * MASKED;
var<private> query_at: u32;
var<private> key_at: u32;
var<private> value_at: u32;
var<private> head: u32;
// Of four rows each; the sums are those of the invocation's own columns until the end.
#for i RM
var<private> row_max_{i}: vec4<f32>;
var<private> row_sum_{i}: vec4<f32>;
#endfor

fn a_vector_0(query: u32, v: u32) -> vec4<f32> { return qkv_vector(query, query_at, v); }
fn b_vector_0(key: u32, v: u32) -> vec4<f32> { return qkv_vector(key, key_at, v); }
fn out_vector_0(key: u32, v: u32) -> vec4<f32> { return qkv_vector(key, value_at, v); }
fn store_0(query: u32, v: u32, value: vec4<f32>) {
#if ALIGNED
  store_o(query * params.o_stride + query_at + v, value);
#else
#for e 4
  if (4u * v + {e}u < HEAD_DIM) { o[query * params.o_stride + query_at + 4u * v + {e}u] = value[{e}]; }
#endfor
#endif
}

fn largest(x: vec4<f32>) -> f32 { return max(max(x.x, x.y), max(x.z, x.w)); }
fn total(x: vec4<f32>) -> f32 { return (x.x + x.y) + (x.z + x.w); }

// Scores into exp(score − row_max), row_max and what depends on it brought up to date.
fn softmax_scores(lane: u32) {
  workgroupBarrier();
#for i RM
  {
    var top = row_max_{i};
#for j RN
    top = max(top, vec4<f32>(largest(score_0_{i}_0_{j}), largest(score_0_{i}_1_{j}), largest(score_0_{i}_2_{j}), largest(score_0_{i}_3_{j})));
#endfor
    share({i}u, top, lane);
  }
#endfor
  workgroupBarrier();
#for i RM
  {
    let top = shared_max({i}u, lane);
    let rescale = exp(row_max_{i} - top);
    row_max_{i} = top;
    row_sum_{i} *= rescale;
#for j RN
#for c 4
    score_0_{i}_{c}_{j} = exp(score_0_{i}_{c}_{j} - vec4<f32>(top[{c}]));
#endfor
    row_sum_{i} += vec4<f32>(total(score_0_{i}_0_{j}), total(score_0_{i}_1_{j}), total(score_0_{i}_2_{j}), total(score_0_{i}_3_{j}));
#endfor
#for c 4
#for j RD
    out_0_{i}_{c}_{j} *= rescale[{c}];
#endfor
#endfor
  }
#endfor
}

@compute @workgroup_size(TX * TY)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  head = group.x;
  // The last queries see most keys: they go first.
  let q0 = (groups.y - 1u - group.y) * ROWS;
  if (q0 >= step.tokens) { return; }
  query_at = head * HEAD_STEP;
  key_at = params.k_at + (head / params.group) * HEAD_STEP;
  value_at = params.v_at + (head / params.group) * HEAD_STEP;
#for i RM
  row_max_{i} = vec4<f32>(NO_KEY);
#endfor
  let range = key_range(q0, lane);
  for (var k0 = range.x; k0 < range.y; k0 += COLUMNS) {
    fetch_blocks_0(q0, k0, 0u, lane);
    make_scores_0(q0, k0, lane);
    fetch_rows_0(k0, 0u, lane);
#for i RM
#for c 4
#for j RN
    score_0_{i}_{c}_{j} = score_of(score_0_{i}_{c}_{j});
#endfor
#endfor
#endfor
    if (!all_visible(q0, ROWS, k0, COLUMNS)) { mask_scores(q0, k0, lane); }
    softmax_scores(lane);
    add_out_0(k0, lane);
  }
  workgroupBarrier();
#for i RM
  share({i}u, row_sum_{i}, lane);
#endfor
  workgroupBarrier();
#for i RM
  {
    let sum = shared_sum({i}u, lane);
    let inverse = 1.0 / sum;
#for c 4
#for j RD
    out_0_{i}_{c}_{j} *= inverse[{c}];
#endfor
#endfor
    let row = q0 + 4u * (lane / TX + {i}u * TY);
    let row_lse = row_max_{i} + log(sum);
    if (lane % TX == 0u) {
#for c 4
      if (row + {c}u < step.tokens) { lse[head * params.capacity + row + {c}u] = row_lse[{c}]; }
#endfor
    }
  }
#endfor
  store_out_0(q0, lane);
}
