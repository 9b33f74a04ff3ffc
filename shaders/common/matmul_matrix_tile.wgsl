// The tile of common/matmul_tile.wgsl where subgroups multiply blocks of MAT_M × MAT_K and MAT_K × MAT_N at once:
// operands rounded to f16 (with WIDE in f32), sums in f32. A workgroup's TILE_M × TILE_N outputs are shared out to
// subgroups of SUB_M × SUB_N blocks each; accumulators are named variables of one function, since matrices in indexed
// arrays leave the registers.
//
// The file that includes this one defines, with m, n and k where the vector starts,
//   alias RawA, fn fetch_a(m, k) -> RawA       A[m][k … k+3], as it lies in memory
//   fn decode_a(raw, m, k) -> vec4<f32>
//                                              with A_EIGHTS eight from k, in f16: they go into the tile as they are
//   alias RawVectors, fn fetch_vectors(n, k) -> RawVectors
//                                              B_RUN numbers along k if B_ALONG_K, else along n, as they lie in memory
//   fn put_vectors(own, raw, n, k)             hands them to put_b, eight at a time, own their place in the tile
//   fn store(m, n, value: vec4<f32>)           outputs [m][n … n+3]
// Outside the operands, anywhere, fetch gives something that decodes to finite numbers; along k, beyond the depth, B
// decodes to zeros. With LOW_RANK there is a second product behind the first:
//   fn low_rank_a(m, k) -> vec4<f32>           [m][k … k+3]
//   fn low_rank_b(n, k) -> vec4<f32>           B[k … k+3][n] if B_ALONG_K, else B[k][n … n+3]
//
// With TRANSPOSED, A holds gradients: it is lifted, and the result lowered.
#include "common/matrices.wgsl"

#if WIDE
alias Left = subgroup_matrix_left<f32, MAT_K, MAT_M>;
alias Right = subgroup_matrix_right<f32, MAT_N, MAT_K>;
#else
alias Left = subgroup_matrix_left<f16, MAT_K, MAT_M>;
alias Right = subgroup_matrix_right<f16, MAT_N, MAT_K>;
#endif
alias Sums = subgroup_matrix_result<f32, MAT_N, MAT_M>;

const SUBGROUPS_N = TILE_N / (MAT_N * SUB_N);
const THREADS = 32u * (TILE_M / (MAT_M * SUB_M)) * SUBGROUPS_N;

// Operands as vectors of eight f16 or four f32, by blocks of MAT_M rows of A or MAT_N columns of B: what a subgroup reads has an
// offset that is known when the kernel is compiled, so that checking it costs nothing. Rows of more than
// one vector are one longer than they need to be, or neighbours would fall into one bank.
const VECTOR = select(8u, 4u, WIDE);
const A_ROW = TILE_K / VECTOR + 1u;
const B_VECTORS = select(MAT_N, TILE_K, B_ALONG_K) / VECTOR;
const B_ROW = B_VECTORS + select(0u, 1u, B_VECTORS > 1u);
const B_ROWS = select(TILE_K, MAT_N, B_ALONG_K);
var<workgroup> a_tile: array<array<vec4<u32>, MAT_M * A_ROW>, TILE_M / MAT_M>;
var<workgroup> b_tile: array<array<vec4<u32>, B_ROWS * B_ROW>, TILE_N / MAT_N>;
// Runs of B a step; of a tall tile fewer than there are invocations.
const B_RUNS = TILE_N * TILE_K / B_RUN;
// From one block of the depth to the next, in vectors.
const A_BLOCK = MAT_K / VECTOR;
const B_BLOCK = select(MAT_K * B_ROW, A_BLOCK, B_ALONG_K);

#for s A_STAGES
var<private> next_a_{s}_0: RawA;
#if A_EIGHTS
#else
var<private> next_a_{s}_1: RawA;
#endif
#endfor
#for s B_STAGES
var<private> next_b_{s}: RawVectors;
#endfor

// Where eight numbers of A lie in the tile: (along m, along k). Neighbours read along a row.
fn place_a(i: u32) -> vec2<u32> { return vec2<u32>(i / (TILE_K / 8u), i % (TILE_K / 8u) * 8u); }
// The same of a run of B: (along n, along k).
fn place_b(i: u32) -> vec2<u32> {
#if B_ALONG_K
  return vec2<u32>(i / (TILE_K / B_RUN), i % (TILE_K / B_RUN) * B_RUN);
#else
  return vec2<u32>(i % (TILE_N / B_RUN) * B_RUN, i / (TILE_N / B_RUN));
#endif
}

fn put_a(at: vec2<u32>, low: vec4<f32>, high: vec4<f32>) {
  let first = at.x % MAT_M * A_ROW + at.y / VECTOR;
#if WIDE
  a_tile[at.x / MAT_M][first] = bitcast<vec4<u32>>(low);
  a_tile[at.x / MAT_M][first + 1u] = bitcast<vec4<u32>>(high);
#else
  a_tile[at.x / MAT_M][first] = halves(within_f16(low), within_f16(high));
#endif
}
// Weights are well within f16.
fn put_b(at: vec2<u32>, low: vec4<f32>, high: vec4<f32>) {
#if B_ALONG_K
  let first = at.x % MAT_N * B_ROW + at.y / VECTOR;
#else
  let first = at.y * B_ROW + at.x % MAT_N / VECTOR;
#endif
#if WIDE
  b_tile[at.x / MAT_N][first] = bitcast<vec4<u32>>(low);
  b_tile[at.x / MAT_N][first + 1u] = bitcast<vec4<u32>>(high);
#else
  b_tile[at.x / MAT_N][first] = halves(low, high);
#endif
}

fn fetch_step(m0: u32, n0: u32, k0: u32, lane: u32) {
#for s A_STAGES
  {
    let at = vec2<u32>(m0, k0) + place_a(lane + {s}u * THREADS);
    next_a_{s}_0 = fetch_a(at.x, at.y);
#if A_EIGHTS
#else
    next_a_{s}_1 = fetch_a(at.x, at.y + 4u);
#endif
  }
#endfor
#for s B_STAGES
  if (B_RUNS % THREADS == 0u || lane + {s}u * THREADS < B_RUNS) {
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
#if A_EIGHTS
    a_tile[own.x / MAT_M][own.x % MAT_M * A_ROW + own.y / VECTOR] = next_a_{s}_0;
#else
    let at = vec2<u32>(m0, k0) + own;
    put_a(own, scale * decode_a(next_a_{s}_0, at.x, at.y), scale * decode_a(next_a_{s}_1, at.x, at.y + 4u));
#endif
  }
#endfor
#for s B_STAGES
  if (B_RUNS % THREADS == 0u || lane + {s}u * THREADS < B_RUNS) {
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
    put_a(own, scale * low_rank_a(m, k), scale * low_rank_a(m, k + 4u));
  }
  for (var i = lane; i < TILE_N * 2u; i += THREADS) {
#if B_ALONG_K
    let own = vec2<u32>(i / 2u, i % 2u * 8u);
    let n = n0 + own.x;
    let k = k0 + own.y;
    put_b(own, LOW_RANK_LIFT * low_rank_b(n, k), LOW_RANK_LIFT * low_rank_b(n, k + 4u));
#else
    let own = vec2<u32>(i % (TILE_N / 8u) * 8u, i / (TILE_N / 8u));
    let n = n0 + own.x;
    let k = k0 + own.y;
    put_b(own, LOW_RANK_LIFT * low_rank_b(n, k), LOW_RANK_LIFT * low_rank_b(n + 4u, k));
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
#for q LOW_STEPS
    {
#for j SUB_N
#if B_ALONG_K
      let b_{j} = subgroupMatrixLoad<Right, col_major>(&b_tile[column + {j}u], {q}u * B_BLOCK, B_ROW);
#else
      let b_{j} = subgroupMatrixLoad<Right, row_major>(&b_tile[column + {j}u], {q}u * B_BLOCK, B_ROW);
#endif
#endfor
#for i SUB_M
      let a_{i} = subgroupMatrixLoad<Left, row_major>(&a_tile[row + {i}u], {q}u * A_BLOCK, A_ROW);
#for j SUB_N
      sums_{i}_{j} = subgroupMatrixMultiplyAccumulate(a_{i}, b_{j}, sums_{i}_{j});
#endfor
#endfor
    }
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
      let a_{i} = subgroupMatrixLoad<Left, row_major>(&a_tile[row + {i}u], {k}u * A_BLOCK, A_ROW);
#endfor
#for j SUB_N
#if B_ALONG_K
      let b_{j} = subgroupMatrixLoad<Right, col_major>(&b_tile[column + {j}u], {k}u * B_BLOCK, B_ROW);
#else
      let b_{j} = subgroupMatrixLoad<Right, row_major>(&b_tile[column + {j}u], {k}u * B_BLOCK, B_ROW);
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
  subgroupMatrixStore<row_major>(&a_tile[subgroup], 0u, sums_{i}_{j}, MAT_N / 4u);
  workgroupBarrier();
  for (var i = in_subgroup; i < MAT_M * MAT_N / 4u; i += 32u) {
    let m = m0 + (row + {i}u) * MAT_M + i / (MAT_N / 4u);
    let n = n0 + (column + {j}u) * MAT_N + i % (MAT_N / 4u) * 4u;
    store(m, n, scale * bitcast<vec4<f32>>(a_tile[subgroup][i]));
  }
  workgroupBarrier();
#endfor
#endfor
}
