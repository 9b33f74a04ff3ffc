// The tile that all matmuls share: a TILE_M × TILE_N block of outputs a workgroup, TILE_K deep steps, each invocation
// 4·RM × 4·RN outputs in registers. Both operands lie k-major in workgroup memory as vec4, so that the inner loop reads
// whole vectors. An operand is fetched in 4 × 4 blocks: four vectors along m (or n), one for each k.
//
// The file that includes this one defines
//   fn a_block(m: u32, k: u32) -> mat4x4<f32>   column j = A[m … m+3][k+j]
//   fn b_block(n: u32, k: u32) -> mat4x4<f32>   column j = B[k+j][n … n+3]
// with zeros outside the operands.
const TX = TILE_N / (4u * RN);
const TY = TILE_M / (4u * RM);
const THREADS = TX * TY;
const A_BLOCKS = (TILE_M / 4u) * (TILE_K / 4u);
const B_BLOCKS = (TILE_N / 4u) * (TILE_K / 4u);

var<workgroup> a_tile: array<vec4<f32>, TILE_K * TILE_M / 4u>;
var<workgroup> b_tile: array<vec4<f32>, TILE_K * TILE_N / 4u>;
// acc[(4·i + c)·RN + j]: row c of row block i, column block j.
var<private> acc: array<vec4<f32>, 4u * RM * RN>;

fn stage_a(block: u32, m0: u32, k0: u32) {
  let m = (block % (TILE_M / 4u)) * 4u;
  let k = (block / (TILE_M / 4u)) * 4u;
  let values = a_block(m0 + m, k0 + k);
  for (var j = 0u; j < 4u; j++) { a_tile[(k + j) * (TILE_M / 4u) + m / 4u] = values[j]; }
}

fn stage_b(block: u32, n0: u32, k0: u32) {
  let n = (block % (TILE_N / 4u)) * 4u;
  let k = (block / (TILE_N / 4u)) * 4u;
  let values = b_block(n0 + n, k0 + k);
  for (var j = 0u; j < 4u; j++) { b_tile[(k + j) * (TILE_N / 4u) + n / 4u] = values[j]; }
}

// acc += what is in the tiles.
fn multiply_tiles(lane: u32) {
  let tx = lane % TX;
  let ty = lane / TX;
  for (var k = 0u; k < TILE_K; k++) {
    var a: array<vec4<f32>, RM>;
    var b: array<vec4<f32>, RN>;
    for (var i = 0u; i < RM; i++) { a[i] = a_tile[k * (TILE_M / 4u) + ty + i * TY]; }
    for (var j = 0u; j < RN; j++) { b[j] = b_tile[k * (TILE_N / 4u) + tx + j * TX]; }
    for (var i = 0u; i < RM; i++) {
      for (var j = 0u; j < RN; j++) {
        acc[(4u * i + 0u) * RN + j] += a[i].x * b[j];
        acc[(4u * i + 1u) * RN + j] += a[i].y * b[j];
        acc[(4u * i + 2u) * RN + j] += a[i].z * b[j];
        acc[(4u * i + 3u) * RN + j] += a[i].w * b[j];
      }
    }
  }
}

// acc += A·B over k in [0, depth); m0 and n0 are the tile's corner. Uniform control flow.
fn accumulate(m0: u32, n0: u32, depth: u32, lane: u32) {
  for (var k0 = 0u; k0 < depth; k0 += TILE_K) {
    for (var block = lane; block < A_BLOCKS + B_BLOCKS; block += THREADS) {
      if (block < A_BLOCKS) { stage_a(block, m0, k0); } else { stage_b(block - A_BLOCKS, n0, k0); }
    }
    workgroupBarrier();
    multiply_tiles(lane);
    workgroupBarrier();
  }
}

// Row of the tile for acc row r (0 … 4·RM − 1), and first column of column block j.
fn tile_row(lane: u32, r: u32) -> u32 {
  return (lane / TX + (r / 4u) * TY) * 4u + r % 4u;
}

fn tile_column(lane: u32, j: u32) -> u32 {
  return (lane % TX + j * TX) * 4u;
}
