// The tile that all matmuls share: a TILE_M × TILE_N block of outputs a workgroup, TILE_K deep steps, each invocation
// 4·RM × 4·RN outputs in registers, UNROLL steps written out. Both operands lie k-major in workgroup memory as vec4, so that the inner loop reads
// whole vectors; accumulators are named variables, written out by #for, so that they stay in registers.
//
// The file that includes this one defines, with zeros outside the operands,
//   fn a_vector(m: u32, k: u32) -> vec4<f32>   A[m][k … k+3] if A_ALONG_K, else A[m … m+3][k]
//   fn b_vector(n: u32, k: u32) -> vec4<f32>   B[k … k+3][n] if B_ALONG_K, else B[k][n … n+3]
//   fn store(m: u32, n: u32, value: vec4<f32>) for outputs [m][n … n+3]
// m, n and k are where the vector starts: multiples of 4 along it.
const TX = TILE_N / (4u * RN);
const TY = TILE_M / (4u * RM);
const THREADS = TX * TY;
const A_WIDTH = TILE_M / 4u;
const B_WIDTH = TILE_N / 4u;
const A_BLOCKS = A_WIDTH * (TILE_K / 4u);
const B_BLOCKS = B_WIDTH * (TILE_K / 4u);

var<workgroup> a_tile: array<vec4<f32>, TILE_K * A_WIDTH>;
var<workgroup> b_tile: array<vec4<f32>, TILE_K * B_WIDTH>;
#for i RM
#for c 4
#for j RN
var<private> acc_{i}_{c}_{j}: vec4<f32>;
#endfor
#endfor
#endfor

// A 4 × 4 block of A, four vectors along m.
fn stage_a(block: u32, m0: u32, k0: u32) {
  let m = block % A_WIDTH;
  let k = (block / A_WIDTH) * 4u;
  let at = k * A_WIDTH + m;
#if A_ALONG_K
#for r 4
  let v{r} = a_vector(m0 + m * 4u + {r}u, k0 + k);
#endfor
#for r 4
  a_tile[at + {r}u * A_WIDTH] = vec4<f32>(v0[{r}], v1[{r}], v2[{r}], v3[{r}]);
#endfor
#else
#for r 4
  a_tile[at + {r}u * A_WIDTH] = a_vector(m0 + m * 4u, k0 + k + {r}u);
#endfor
#endif
}

// A 4 × 4 block of B, four vectors along n.
fn stage_b(block: u32, n0: u32, k0: u32) {
  let n = block % B_WIDTH;
  let k = (block / B_WIDTH) * 4u;
  let at = k * B_WIDTH + n;
#if B_ALONG_K
#for r 4
  let v{r} = b_vector(n0 + n * 4u + {r}u, k0 + k);
#endfor
#for r 4
  b_tile[at + {r}u * B_WIDTH] = vec4<f32>(v0[{r}], v1[{r}], v2[{r}], v3[{r}]);
#endfor
#else
#for r 4
  b_tile[at + {r}u * B_WIDTH] = b_vector(n0 + n * 4u, k0 + k + {r}u);
#endfor
#endif
}

// acc += what is in the tiles.
fn multiply_tiles(lane: u32) {
  let tx = lane % TX;
  let ty = lane / TX;
  for (var k0 = 0u; k0 < TILE_K; k0 += UNROLL) {
#for k UNROLL
    {
#for i RM
      let a_{i} = a_tile[(k0 + {k}u) * A_WIDTH + ty + {i}u * TY];
#endfor
#for j RN
      let b_{j} = b_tile[(k0 + {k}u) * B_WIDTH + tx + {j}u * TX];
#endfor
#for i RM
#for c 4
#for j RN
      acc_{i}_{c}_{j} += a_{i}[{c}] * b_{j};
#endfor
#endfor
#endfor
    }
#endfor
  }
}

// acc += A·B over k in [0, depth), in steps of TILE_K; m0 and n0 are the tile's corner. Uniform control flow.
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

fn store_tile(m0: u32, n0: u32, lane: u32) {
  let m = m0 + (lane / TX) * 4u;
  let n = n0 + (lane % TX) * 4u;
  // Through an array, so that the code of store() is there once and not for every accumulator.
  var values: array<vec4<f32>, 4u * RM * RN>;
#for i RM
#for c 4
#for j RN
  values[({i}u * 4u + {c}u) * RN + {j}u] = acc_{i}_{c}_{j};
#endfor
#endfor
#endfor
  for (var i = 0u; i < RM * 4u * RN; i++) {
    let row = i / RN;
    store(m + (row / 4u) * TY * 4u + row % 4u, n + (i % RN) * TX * 4u, values[i]);
  }
}
