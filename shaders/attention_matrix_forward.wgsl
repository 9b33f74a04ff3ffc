// attention_forward.wgsl by subgroup matrices. Matrices of sums cannot be rescaled row by row, so that keys are passed
// twice: first for each row's log Σ exp, then for o = Σ p·v with p = exp(score − lse), which needs no rescaling.
#include "common/attention.wgsl"
#include "common/attention_scores.wgsl"
#include "common/attention_matrix.wgsl"

var<private> query_at: u32;
var<private> key_at: u32;
var<private> value_at: u32;

fn own_eight_0(query: u32, v: u32) -> vec4<u32> { return qkv_eight(query, query_at, v); }
fn tile_eight_0(key: u32, v: u32) -> vec4<u32> { return qkv_eight(key, key_at, v); }
fn tile_eight_1(key: u32, v: u32) -> vec4<u32> { return qkv_eight(key, value_at, v); }

// Four scores of the invocation's row; masked ones are so small that they count for nothing.
fn row_scores(product: vec4<f32>, masking: bool, query: u32, first: u32, key: u32) -> vec4<f32> {
  return select(vec4<f32>(MASKED), score_of(product), vec4<bool>(!masking) | between(key, first, query));
}

fn largest(x: vec4<f32>) -> f32 { return max(max(x.x, x.y), max(x.z, x.w)); }
fn total(x: vec4<f32>) -> f32 { return (x.x + x.y) + (x.z + x.w); }

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
  stage_own_0(q0, lane);
  workgroupBarrier();
#for d BLOCKS
  let query_{d} = subgroupMatrixLoad<Left, row_major>(&tile[subgroup], {d}u * 2u, ROW);
#endfor
  workgroupBarrier();
  let range = agreed_bounds(vec2<u32>(first_key(q0), min(q0 + ROWS, step.tokens)), lane);

  // Above MASKED, so that exp(MASKED − top) is zero in a row that has seen no key yet.
  var top = -1.0e29;
  var sum = 0.0;
  for (var k0 = range.x; k0 < range.y; k0 += COLUMNS) {
    stage_tile_0(k0, lane);
    let masking = !all_visible(q0, ROWS, k0, COLUMNS);
    workgroupBarrier();
#for j 2
    var products_{j} = Sums();
#for d BLOCKS
    products_{j} = subgroupMatrixMultiplyAccumulate(query_{d}, subgroupMatrixLoad<Right, col_major>(&tile[{j}], {d}u * 2u, ROW), products_{j});
#endfor
    subgroupMatrixStore<row_major>(&scores[subgroup * 2u + {j}u], 0u, products_{j}, 4u);
#endfor
    workgroupBarrier();
#for j 2
    {
      let key = k0 + {j}u * 16u + half * 8u;
      let low = row_scores(scores[subgroup * 2u + {j}u][row * 4u + half * 2u], masking, query, first, key);
      let high = row_scores(scores[subgroup * 2u + {j}u][row * 4u + half * 2u + 1u], masking, query, first, key + 4u);
      let higher = max(top, max(largest(low), largest(high)));
      sum = sum * exp(top - higher) + total(exp(low - vec4<f32>(higher))) + total(exp(high - vec4<f32>(higher)));
      top = higher;
    }
#endfor
  }
  let other_top = subgroupShuffleXor(top, 1u);
  let row_top = max(top, other_top);
  sum *= exp(top - row_top);
  let row_lse = row_top + log(sum + subgroupShuffleXor(sum, 1u));
  if (half == 0u && query < step.tokens) { lse[head * params.capacity + query] = row_lse; }

#for d BLOCKS
  var out_{d} = Sums();
#endfor
  for (var k0 = range.x; k0 < range.y; k0 += COLUMNS) {
    workgroupBarrier();
    stage_tile_0(k0, lane);
    stage_tile_1(k0, lane);
    let masking = !all_visible(q0, ROWS, k0, COLUMNS);
    workgroupBarrier();
#for j 2
    var products_{j} = Sums();
#for d BLOCKS
    products_{j} = subgroupMatrixMultiplyAccumulate(query_{d}, subgroupMatrixLoad<Right, col_major>(&tile[{j}], {d}u * 2u, ROW), products_{j});
#endfor
    subgroupMatrixStore<row_major>(&scores[subgroup * 2u + {j}u], 0u, products_{j}, 4u);
#endfor
    workgroupBarrier();
#for j 2
    {
      let key = k0 + {j}u * 16u + half * 8u;
      let low = row_scores(scores[subgroup * 2u + {j}u][row * 4u + half * 2u], masking, query, first, key);
      let high = row_scores(scores[subgroup * 2u + {j}u][row * 4u + half * 2u + 1u], masking, query, first, key + 4u);
      weights[subgroup * 2u + {j}u][row * 2u + half] = halves(exp(low - vec4<f32>(row_lse)), exp(high - vec4<f32>(row_lse)));
    }
#endfor
    workgroupBarrier();
#for j 2
    let weights_{j} = subgroupMatrixLoad<Left, row_major>(&weights[subgroup * 2u + {j}u], 0u, 2u);
#for d BLOCKS
    out_{d} = subgroupMatrixMultiplyAccumulate(weights_{j}, subgroupMatrixLoad<Right, row_major>(&tile[2 + {j}], {d}u * 2u, ROW), out_{d});
#endfor
#endfor
  }

#for d BLOCKS
  subgroupMatrixStore<row_major>(&scores[subgroup], 0u, out_{d}, 4u);
  workgroupBarrier();
  for (var i = lane % 32u; i < 64u; i += 32u) {
    let token = q0 + subgroup * 16u + i / 4u;
    if (token < step.tokens) { store_o(token * params.o_stride + query_at + {d}u * 4u + i % 4u, scores[subgroup][i]); }
  }
  workgroupBarrier();
#endfor
}
