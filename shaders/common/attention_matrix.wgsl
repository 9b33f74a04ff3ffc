// What the attention kernels share where subgroups multiply 16 × 16 blocks at once (Dao 2023, FlashAttention-2). A
// workgroup owns ROWS rows (queries, or keys where gradients of keys are made), each subgroup sixteen of them, and walks
// along the other side in tiles of COLUMNS. Matrices can be stored only whole, so that scores go through workgroup
// memory: two invocations share a row of sixteen, eight columns each.
//
// The file that includes this one defines, with v counting vectors of four dimensions and any row allowed,
//   fn own_eight_{set}(row: u32, v: u32) -> vec4<u32>     rows that the workgroup owns, in f16: dimensions from 4·v on, v even
//   fn tile_eight_{set}(row: u32, v: u32) -> vec4<u32>    rows that it walks along
// HALVES: qkv is in 16 bits, eight dimensions a vector, and goes into the tiles as it is.
#include "common/matrices.wgsl"

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sums = subgroup_matrix_result<f32, 16, 16>;

const SUBGROUPS = 4u;
const THREADS = 32u * SUBGROUPS;
const ROWS = 16u * SUBGROUPS;
const COLUMNS = 32u;
const HEAD_VECTORS = HEAD_DIM / 4u;
const HEAD_STEP = HEAD_VECTORS;
// A row's vectors of eight f16 in workgroup memory, one to spare, or rows would fall into one bank.
const EIGHTS = HEAD_DIM / 8u;
const ROW = EIGHTS + 1u;

// Sixteen rows a block: two blocks of each set's tile, or four of what the workgroup owns.
var<workgroup> tile: array<array<vec4<u32>, 16u * ROW>, 4>;
// 16 × 16 scores, and what they become, of each set and subgroup.
var<workgroup> scores: array<array<vec4<f32>, 64>, SUBGROUPS * SCORES>;
var<workgroup> weights: array<array<vec4<u32>, 32>, SUBGROUPS * WEIGHTS>;
var<workgroup> bounds: vec2<u32>;

// A bound that all invocations agree on, computed by one.
fn agreed_bounds(mine: vec2<u32>, lane: u32) -> vec2<u32> {
  if (lane == 0u) { bounds = mine; }
  return workgroupUniformLoad(&bounds);
}

// Where a head's dimensions 4·v … 4·v + 3 lie. Rows behind the last are taken for the last, which is finite.
fn vector_at(row: u32, stride: u32, head_at: u32, v: u32) -> u32 {
  return min(row, step.tokens - 1u) * stride + head_at + v;
}
#if HALVES
fn qkv_eight(row: u32, head_at: u32, v: u32) -> vec4<u32> {
  return qkv[vector_at(row, params.stride, head_at, v) / 2u];
}
#else
fn qkv_eight(row: u32, head_at: u32, v: u32) -> vec4<u32> {
  let at = vector_at(row, params.stride, head_at, v);
  return halves(within_f16(qkv[at]), within_f16(qkv[at + 1u]));
}
#endif

#for set SETS
fn stage_own_{set}(row0: u32, lane: u32) {
  for (var i = lane; i < ROWS * EIGHTS; i += THREADS) {
    let row = i / EIGHTS;
    tile[row / 16u][row % 16u * ROW + i % EIGHTS] = own_eight_{set}(row0 + row, i % EIGHTS * 2u);
  }
}
#endfor
#for set TILES
fn stage_tile_{set}(row0: u32, lane: u32) {
  for (var i = lane; i < COLUMNS * EIGHTS; i += THREADS) {
    let row = i / EIGHTS;
    tile[2u * {set}u + row / 16u][row % 16u * ROW + i % EIGHTS] = tile_eight_{set}(row0 + row, i % EIGHTS * 2u);
  }
}
#endfor

// Which of eight columns from `column` on lie in [first, last], in halves of four.
fn between(column: u32, first: u32, last: u32) -> vec4<bool> {
  let columns = vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u);
  return (columns >= vec4<u32>(first)) & (columns <= vec4<u32>(last));
}
