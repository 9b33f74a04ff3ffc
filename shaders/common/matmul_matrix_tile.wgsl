// The tile of common/matmul_tile.wgsl where subgroups multiply 16 × 16 blocks at once: operands rounded to f16, sums in
// f32. A workgroup's TILE_M × TILE_N outputs are shared out to subgroups of SUB_M × SUB_N blocks each; accumulators are
// named variables of one function, since matrices in indexed arrays leave the registers.
//
// The file that includes this one defines, with m, n and k where the vector starts,
//   alias RawA, fn fetch_a(m, k) -> RawA       A[m][k … k+3], as it lies in memory
//   fn decode_a(raw, m, k) -> vec4<f32>
//   alias RawVectors, fn fetch_vectors(n, k) -> RawVectors
//                                              B_RUN numbers along k if B_ALONG_K, else along n, as they lie in memory
//   fn put_vectors(own, raw, n, k)             hands them to put_b, eight f16 at a time, own their place in the tile
//   fn store(m, n, value: vec4<f32>)           outputs [m][n … n+3]
// Outside the operands, anywhere, fetch gives something that decodes to finite numbers; along k, beyond the depth, B
// decodes to zeros. With LOW_RANK there is a second product behind the first:
//   fn low_rank_a(m, k) -> vec4<f32>           [m][k … k+3]
//   fn low_rank_b(n, k) -> vec4<f32>           B[k … k+3][n] if B_ALONG_K, else B[k][n … n+3]
//
// With TRANSPOSED, A holds gradients: it is lifted, and the result lowered.
#include "common/matrices.wgsl"

const SUBGROUPS_N = TILE_N / (16u * SUB_N);
const THREADS = 32u * (TILE_M / (16u * SUB_M)) * SUBGROUPS_N;

// Operands as vectors of eight f16, by blocks of sixteen rows of A or columns of B: what a subgroup reads has an offset that
// is known when the kernel is compiled, so that checking it costs nothing. Rows are one vector longer than they need to
// be, or neighbours would fall into one bank.
const STEP_VECTORS = TILE_K / 8u;
const A_ROW = STEP_VECTORS + 1u;
const B_ROW = select(3u, STEP_VECTORS + 1u, B_ALONG_K);
const B_ROWS = select(TILE_K, 16u, B_ALONG_K);
var<workgroup> a_tile: array<array<vec4<u32>, 16u * A_ROW>, TILE_M / 16u>;
var<workgroup> b_tile: array<array<vec4<u32>, B_ROWS * B_ROW>, TILE_N / 16u>;

#for s A_STAGES
var<private> next_a_{s}_0: RawA;
var<private> next_a_{s}_1: RawA;
#endfor
#for s B_STAGES
var<private> next_b_{s}: RawVectors;
#endfor

// Where a vector of A lies in the tile: (along m, along k), in elements. Neighbours read along a row.
fn place_a(i: u32) -> vec2<u32> { return vec2<u32>(i / STEP_VECTORS, i % STEP_VECTORS * 8u); }
// The same of a run of B: (along n, along k).
fn place_b(i: u32) -> vec2<u32> {
#if B_ALONG_K
  return vec2<u32>(i / (TILE_K / B_RUN), i % (TILE_K / B_RUN) * B_RUN);
#else
  return vec2<u32>(i % (TILE_N / B_RUN) * B_RUN, i / (TILE_N / B_RUN));
#endif
}

fn put_a(at: vec2<u32>, value: vec4<u32>) {
  a_tile[at.x / 16u][at.x % 16u * A_ROW + at.y / 8u] = value;
}
fn put_b(at: vec2<u32>, value: vec4<u32>) {
#if B_ALONG_K
  b_tile[at.x / 16u][at.x % 16u * B_ROW + at.y / 8u] = value;
#else
  b_tile[at.x / 16u][at.y * B_ROW + at.x % 16u / 8u] = value;
#endif
}

fn fetch_step(m0: u32, n0: u32, k0: u32, lane: u32) {
#for s A_STAGES
  {
    let at = vec2<u32>(m0, k0) + place_a(lane + {s}u * THREADS);
    next_a_{s}_0 = fetch_a(at.x, at.y);
    next_a_{s}_1 = fetch_a(at.x, at.y + 4u);
  }
#endfor
#for s B_STAGES
  {
    let at = vec2<u32>(n0, k0) + place_b(lane + {s}u * THREADS);
    next_b_{s} = fetch_vectors(at.x, at.y);
  }
#endfor
}

fn stage_step(m0: u32, n0: u32, k0: u32, lane: u32) {
  let scale = select(1.0, lift(), TRANSPOSED);
#for s A_STAGES
  {
    let own = place_a(lane + {s}u * THREADS);
    let at = vec2<u32>(m0, k0) + own;
    put_a(own, halves(
      within_f16(scale * decode_a(next_a_{s}_0, at.x, at.y)), within_f16(scale * decode_a(next_a_{s}_1, at.x, at.y + 4u))));
  }
#endfor
#for s B_STAGES
  {
    let own = place_b(lane + {s}u * THREADS);
    let at = vec2<u32>(n0, k0) + own;
    put_vectors(own, next_b_{s}, at.x, at.y);
  }
#endfor
}

#if LOW_RANK
// Adapters begin near zero: what their numbers get against underflow, their inputs give.
const LOW_RANK_LIFT = 256.0;

// Sixteen columns of the low-rank product, from k0.
fn stage_low_rank(m0: u32, n0: u32, k0: u32, lane: u32) {
  let scale = select(1.0, lift(), TRANSPOSED) / LOW_RANK_LIFT;
  for (var i = lane; i < TILE_M * 2u; i += THREADS) {
    let own = vec2<u32>(i / 2u, i % 2u * 8u);
    let m = m0 + own.x;
    let k = k0 + own.y;
    put_a(own, halves(within_f16(scale * low_rank_a(m, k)), within_f16(scale * low_rank_a(m, k + 4u))));
  }
  for (var i = lane; i < TILE_N * 2u; i += THREADS) {
#if B_ALONG_K
    let own = vec2<u32>(i / 2u, i % 2u * 8u);
    let n = n0 + own.x;
    let k = k0 + own.y;
    put_b(own, halves(within_f16(LOW_RANK_LIFT * low_rank_b(n, k)), within_f16(LOW_RANK_LIFT * low_rank_b(n, k + 4u))));
#else
    let own = vec2<u32>(i % (TILE_N / 8u) * 8u, i / (TILE_N / 8u));
    let n = n0 + own.x;
    let k = k0 + own.y;
    put_b(own, halves(within_f16(LOW_RANK_LIFT * low_rank_b(n, k)), within_f16(LOW_RANK_LIFT * low_rank_b(n + 4u, k))));
#endif
  }
}
#endif

// Computes and stores the tile at (m0, n0): A·B over k in [k_begin, k_end), and the low-rank product over [0, rank).
// Uniform control flow.
fn compute_tile(m0: u32, n0: u32, k_begin: u32, k_end: u32, rank: u32, lane: u32, subgroup: u32) {
  let row = subgroup / SUBGROUPS_N * SUB_M;
  let column = subgroup % SUBGROUPS_N * SUB_N;
#for i SUB_M
#for j SUB_N
  var sums_{i}_{j}: Sums;
#endfor
#endfor
  fetch_step(m0, n0, k_begin, lane);
#if LOW_RANK
  // While the first step is on its way.
  for (var k0 = 0u; k0 < rank; k0 += 16u) {
    stage_low_rank(m0, n0, k0, lane);
    workgroupBarrier();
#for j SUB_N
#if B_ALONG_K
    let b_{j} = subgroupMatrixLoad<Right, col_major>(&b_tile[column + {j}u], 0u, B_ROW);
#else
    let b_{j} = subgroupMatrixLoad<Right, row_major>(&b_tile[column + {j}u], 0u, B_ROW);
#endif
#endfor
#for i SUB_M
    let a_{i} = subgroupMatrixLoad<Left, row_major>(&a_tile[row + {i}u], 0u, A_ROW);
#for j SUB_N
    sums_{i}_{j} = subgroupMatrixMultiplyAccumulate(a_{i}, b_{j}, sums_{i}_{j});
#endfor
#endfor
    workgroupBarrier();
  }
#endif
  for (var k0 = k_begin; k0 < k_end; k0 += TILE_K) {
    stage_step(m0, n0, k0, lane);
    workgroupBarrier();
    // Also after the last step, where it reads for nothing: a branch here would keep it from running beside what follows.
    fetch_step(m0, n0, k0 + TILE_K, lane);
#for k K_STEPS
    {
#for i SUB_M
      let a_{i} = subgroupMatrixLoad<Left, row_major>(&a_tile[row + {i}u], {k}u * 2u, A_ROW);
#endfor
#for j SUB_N
#if B_ALONG_K
      let b_{j} = subgroupMatrixLoad<Right, col_major>(&b_tile[column + {j}u], {k}u * 2u, B_ROW);
#else
      let b_{j} = subgroupMatrixLoad<Right, row_major>(&b_tile[column + {j}u], {k}u * 16u * B_ROW, B_ROW);
#endif
#for i SUB_M
      sums_{i}_{j} = subgroupMatrixMultiplyAccumulate(a_{i}, b_{j}, sums_{i}_{j});
#endfor
#endfor
    }
#endfor
    workgroupBarrier();
  }
  // Through workgroup memory, a block of its own for each subgroup: what is in a matrix can only be stored whole.
  let scale = select(1.0, lower(), TRANSPOSED);
  let in_subgroup = lane % 32u;
#for i SUB_M
#for j SUB_N
  subgroupMatrixStore<row_major>(&a_tile[subgroup], 0u, sums_{i}_{j}, 4u);
  workgroupBarrier();
  for (var i = in_subgroup; i < 64u; i += 32u) {
    store(m0 + (row + {i}u) * 16u + i / 4u, n0 + (column + {j}u) * 16u + i % 4u * 4u, scale * bitcast<vec4<f32>>(a_tile[subgroup][i]));
  }
  workgroupBarrier();
#endfor
#endfor
}
