// attention_backward_query.wgsl by subgroup matrices: delta and dq = scale · ds·k, ds = p ∘ (do·vᵀ − delta).
#include "common/attention.wgsl"
#include "common/attention_scores.wgsl"
#include "common/attention_matrix.wgsl"
#include "common/attention_matrix_gradient.wgsl"

var<private> query_at: u32;
var<private> key_at: u32;
var<private> value_at: u32;

fn own_eight_0(query: u32, v: u32) -> vec4<u32> { return qkv_eight(query, query_at, v); }
fn own_eight_1(query: u32, v: u32) -> vec4<u32> { return d_o_eight(query, query_at, v); }
fn tile_eight_0(key: u32, v: u32) -> vec4<u32> { return qkv_eight(key, key_at, v); }
fn tile_eight_1(key: u32, v: u32) -> vec4<u32> { return qkv_eight(key, value_at, v); }

// The invocation's half of a row's do·o.
fn half_delta(query: u32, half: u32) -> f32 {
  var sum = 0.0;
  for (var v = half; v < HEAD_VECTORS; v += 2u) {
    let at = vector_at(query, params.o_stride, query_at, v);
    sum += dot(d_o[at], load_o(at));
  }
  return sum;
}

// Four elements of a row of ds; masked ones are zero.
fn row_gradient(product: vec4<f32>, d_weight: vec4<f32>, row_lse: f32, row_delta: f32, visible: vec4<bool>) -> vec4<f32> {
  let score = score_of(product);
  let gradient = exp(score - vec4<f32>(row_lse)) * (d_weight - vec4<f32>(row_delta));
  return select(vec4<f32>(0.0), through_cap(gradient, score), visible);
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let head = group.x;
  // The last queries see most keys: they go first.
  let q0 = (groups.y - 1u - group.y) * ROWS;
  if (q0 >= step.tokens) { return; }
  query_at = head * HEAD_STEP;
  key_at = params.k_at + (head / params.group) * HEAD_STEP;
  value_at = params.v_at + (head / params.group) * HEAD_STEP;
  let row = lane % 32u / 2u;
  let half = lane % 2u;
  let query = q0 + subgroup * 16u + row;
  let first = first_key(query);
  let row_lse = lse[head * params.capacity + min(query, step.tokens - 1u)];
  let mine = half_delta(query, half);
  let own_delta = mine + subgroupShuffleXor(mine, 1u);
  if (half == 0u && query < step.tokens) { delta[head * params.capacity + query] = own_delta; }
  let row_delta = lift() * own_delta;
#for set SETS
  stage_own_{set}(q0, lane);
  workgroupBarrier();
#for d BLOCKS
  let own_{set}_{d} = subgroupMatrixLoad<Left, row_major>(&tile[subgroup], {d}u * 2u, ROW);
#endfor
  workgroupBarrier();
#endfor
#for d BLOCKS
  var out_{d} = Sums();
#endfor
  let range = agreed_bounds(vec2<u32>(first_key(q0), min(q0 + ROWS, step.tokens)), lane);
  for (var k0 = range.x; k0 < range.y; k0 += COLUMNS) {
    workgroupBarrier();
    stage_tile_0(k0, lane);
    stage_tile_1(k0, lane);
    let masking = !all_visible(q0, ROWS, k0, COLUMNS);
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
    {
      let key = k0 + {j}u * 16u + half * 8u;
      let at = row * 4u + half * 2u;
      let low = row_gradient(scores[subgroup * 2u][at], scores[subgroup * 2u + 1u][at], row_lse, row_delta, vec4<bool>(!masking) | between(key, first, query));
      let high = row_gradient(scores[subgroup * 2u][at + 1u], scores[subgroup * 2u + 1u][at + 1u], row_lse, row_delta, vec4<bool>(!masking) | between(key + 4u, first, query));
      weights[subgroup][row * 2u + half] = halves(within_f16(low), within_f16(high));
    }
    workgroupBarrier();
    let weights_{j} = subgroupMatrixLoad<Left, row_major>(&weights[subgroup], 0u, 2u);
#for d BLOCKS
    out_{d} = subgroupMatrixMultiplyAccumulate(weights_{j}, subgroupMatrixLoad<Right, row_major>(&tile[{j}], {d}u * 2u, ROW), out_{d});
#endfor
#endfor
  }
  let scale = lower() * params.scale;
#for d BLOCKS
  subgroupMatrixStore<row_major>(&scores[subgroup], 0u, out_{d}, 4u);
  workgroupBarrier();
  for (var i = lane % 32u; i < 64u; i += 32u) {
    let token = q0 + subgroup * 16u + i / 4u;
    if (token < step.tokens) { d_qkv[token * params.stride + query_at + {d}u * 4u + i % 4u] = scale * scores[subgroup][i]; }
  }
  workgroupBarrier();
#endfor
}
