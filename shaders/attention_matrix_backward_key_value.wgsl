// attention_backward_key_value.wgsl by subgroup matrices: dv = pᵀ·do and dk = scale · dsᵀ·q; rows are keys, columns
// queries. SPLIT as there.
#include "common/attention.wgsl"
#include "common/attention_scores.wgsl"
#include "common/attention_matrix.wgsl"
#include "common/attention_matrix_gradient.wgsl"

var<private> query_at: u32;
var<private> key_at: u32;
var<private> value_at: u32;
// Of the tile's queries: log Σ exp, so large behind the last that their probabilities are zero, and the lifted delta.
var<workgroup> tile_lse: array<vec4<f32>, COLUMNS / 4u>;
var<workgroup> tile_delta: array<vec4<f32>, COLUMNS / 4u>;

fn own_eight_0(key: u32, v: u32) -> vec4<u32> { return qkv_eight(key, key_at, v); }
fn own_eight_1(key: u32, v: u32) -> vec4<u32> { return qkv_eight(key, value_at, v); }
fn tile_eight_0(query: u32, v: u32) -> vec4<u32> { return qkv_eight(query, query_at, v); }
fn tile_eight_1(query: u32, v: u32) -> vec4<u32> { return d_o_eight(query, query_at, v); }

fn stage_figures(q0: u32, figures_at: u32, lane: u32) {
  if (lane >= COLUMNS) { return; }
  let query = q0 + lane;
  let at = figures_at + min(query, step.tokens - 1u);
  tile_lse[lane / 4u][lane % 4u] = select(-MASKED, lse[at], query < step.tokens);
  tile_delta[lane / 4u][lane % 4u] = lift() * delta[at];
}

// Which of four queries see the key.
fn seen_by(query: u32, key: u32, masking: bool) -> vec4<bool> {
  if (!masking) { return vec4<bool>(true); }
  let queries = vec4<u32>(query) + vec4<u32>(0u, 1u, 2u, 3u);
  let first = vec4<u32>(first_key(query), first_key(query + 1u), first_key(query + 2u), first_key(query + 3u));
  return (vec4<u32>(key) >= first) & (vec4<u32>(key) <= queries);
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  // The first keys are seen by most queries: they go first.
  let k0 = group.y * ROWS;
  if (k0 >= step.tokens) { return; }
  // One after the last query that can see the tile's last key.
  let end = agreed_bounds(vec2<u32>(k0, end_query(k0 + ROWS - 1u)), lane).y;
#if SPLIT
  let first_head = group.x;
  let heads = 1u;
  let kv_head = first_head / params.group;
  let tiles = (end - k0 + COLUMNS - 1u) / COLUMNS;
  let begin = k0 + tiles * group.z / params.parts * COLUMNS;
  let stop = min(end, k0 + tiles * (group.z + 1u) / params.parts * COLUMNS);
#else
  let kv_head = group.x;
  let first_head = kv_head * params.group;
  let heads = params.group;
  let begin = k0;
  let stop = end;
#endif
  key_at = params.k_at + kv_head * HEAD_STEP;
  value_at = params.v_at + kv_head * HEAD_STEP;
  let row = lane % 32u / 2u;
  let half = lane % 2u;
  let key = k0 + subgroup * 16u + row;
#for set SETS
  stage_own_{set}(k0, lane);
  workgroupBarrier();
#for d BLOCKS
  let own_{set}_{d} = subgroupMatrixLoad<Left, row_major>(&tile[subgroup], {d}u * 2u, ROW);
#endfor
  workgroupBarrier();
#endfor
#for d BLOCKS
  var d_key_{d} = Sums();
  var d_value_{d} = Sums();
#endfor
  for (var head = first_head; head < first_head + heads; head++) {
    query_at = head * HEAD_STEP;
    for (var q0 = begin; q0 < stop; q0 += COLUMNS) {
      workgroupBarrier();
      stage_tile_0(q0, lane);
      stage_tile_1(q0, lane);
      stage_figures(q0, head * params.capacity, lane);
      let masking = !all_visible(q0, COLUMNS, k0, ROWS);
      workgroupBarrier();
#for j 2
#for set SETS
      var products_{j}_{set} = Sums();
#for d BLOCKS
      products_{j}_{set} = subgroupMatrixMultiplyAccumulate(own_{set}_{d}, subgroupMatrixLoad<Right, col_major>(&tile[2 * {set} + {j}], {d}u * 2u, ROW), products_{j}_{set});
#endfor
      subgroupMatrixStore<row_major>(&scores[subgroup * 2u + {set}u], 0u, products_{j}_{set}, 4u);
#endfor
      workgroupBarrier();
#for c 2
      let score_{j}_{c} = score_of(scores[subgroup * 2u][row * 4u + half * 2u + {c}u]);
      let visible_{j}_{c} = seen_by(q0 + {j}u * 16u + half * 8u + {c}u * 4u, key, masking);
      let weight_{j}_{c} = select(vec4<f32>(0.0), exp(score_{j}_{c} - tile_lse[{j}u * 4u + half * 2u + {c}u]), visible_{j}_{c});
      let gradient_{j}_{c} = through_cap(weight_{j}_{c} * (scores[subgroup * 2u + 1u][row * 4u + half * 2u + {c}u] - tile_delta[{j}u * 4u + half * 2u + {c}u]), score_{j}_{c});
#endfor
      weights[subgroup * 2u][row * 2u + half] = halves(weight_{j}_0, weight_{j}_1);
      weights[subgroup * 2u + 1u][row * 2u + half] = halves(within_f16(gradient_{j}_0), within_f16(gradient_{j}_1));
      workgroupBarrier();
      let weights_{j} = subgroupMatrixLoad<Left, row_major>(&weights[subgroup * 2u], 0u, 2u);
      let gradients_{j} = subgroupMatrixLoad<Left, row_major>(&weights[subgroup * 2u + 1u], 0u, 2u);
#for d BLOCKS
      d_value_{d} = subgroupMatrixMultiplyAccumulate(weights_{j}, subgroupMatrixLoad<Right, row_major>(&tile[2 + {j}], {d}u * 2u, ROW), d_value_{d});
      d_key_{d} = subgroupMatrixMultiplyAccumulate(gradients_{j}, subgroupMatrixLoad<Right, row_major>(&tile[{j}], {d}u * 2u, ROW), d_key_{d});
#endfor
#endfor
    }
  }
  let scale = lower();
#for d BLOCKS
  subgroupMatrixStore<row_major>(&scores[subgroup * 2u], 0u, d_key_{d}, 4u);
  subgroupMatrixStore<row_major>(&scores[subgroup * 2u + 1u], 0u, d_value_{d}, 4u);
  workgroupBarrier();
  for (var i = lane % 32u; i < 64u; i += 32u) {
    let token = k0 + subgroup * 16u + i / 4u;
    let v = {d}u * 4u + i % 4u;
    if (token < step.tokens) {
      let d_key = scale * params.scale * scores[subgroup * 2u][i];
      let d_value = scale * scores[subgroup * 2u + 1u][i];
#if SPLIT
      let at = ((token * params.heads + first_head) * params.parts + group.z) * 2u * HEAD_STEP + v;
      partials[at] = d_key;
      partials[at + HEAD_STEP] = d_value;
#else
      d_qkv[token * params.stride + key_at + v] = d_key;
      d_qkv[token * params.stride + value_at + v] = d_value;
#endif
    }
  }
  workgroupBarrier();
#endfor
}
