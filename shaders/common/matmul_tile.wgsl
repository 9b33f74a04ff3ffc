// The tile that all matmuls share: a TILE_M × TILE_N block of outputs a workgroup, TILE_K deep steps, each invocation
// 4·RM × 4·RN outputs in registers, UNROLL steps written out. Both operands lie k-major in workgroup memory as vec4, so
// that the inner loop reads whole vectors; accumulators are named variables, written out by #for, so that they stay in
// registers. With PREFETCH the next step's operands are on their way from memory into registers while a step is multiplied.
//
// Reading is apart from decoding for that: what is done to a value waits for it.
//
// The file that includes this one defines, with m, n and k where the vector starts (multiples of 4 along it),
//   alias RawA, fn fetch_a(m, k) -> RawA       A[m][k … k+3], as it lies in memory
//   fn decode_a(raw, m, k) -> vec4<f32>
//   alias RawB, fn fetch_b(n, k) -> RawB       B[k … k+3][n] if B_ALONG_K, else B[k][n … n+3], as it lies in memory
//   fn decode_b(raw, n, k) -> vec4<f32>
//   fn store(m, n, value: vec4<f32>)           outputs [m][n … n+3]
// Outside the operands, anywhere, fetch gives something that decodes to finite numbers; along k, beyond the depth, one of
// the two decodes to zeros. With LOW_RANK there is a second product behind the first, in steps of its own:
//   fn low_rank_a(m, k) -> vec4<f32>           [m][k … k+3]
//   fn low_rank_b(n, k) -> vec4<f32>           as fetch_b, but decoded
const TX = TILE_N / (4u * RN);
const TY = TILE_M / (4u * RM);
const THREADS = TX * TY;
const A_WIDTH = TILE_M / 4u;
const B_WIDTH = TILE_N / 4u;
const A_BLOCKS = A_WIDTH * (TILE_K / 4u);
const B_BLOCKS = B_WIDTH * (TILE_K / 4u);

// Rows of the tiles, one vector longer than they need to be where neighbours write to different rows, or they would fall
// into one bank. Arrays of arrays, since every index into workgroup memory is checked: one that is written out costs
// nothing, and the invocation's own is checked once.
const A_ROW = A_WIDTH + 1u;
const B_ROW = B_WIDTH + select(0u, 1u, B_ALONG_K);
var<workgroup> a_tile: array<array<vec4<f32>, A_ROW>, TILE_K>;
var<workgroup> b_tile: array<array<vec4<f32>, B_ROW>, TILE_K>;
#for i RM
#for c 4
#for j RN
var<private> acc_{i}_{c}_{j}: vec4<f32>;
#endfor
#endfor
#endfor
#if PREFETCH
// The next step's 4 × 4 blocks of A and B; of each stage an invocation has one or the other.
#for s STAGES
#for r 4
var<private> next_a_{s}_{r}: RawA;
var<private> next_b_{s}_{r}: RawB;
#endfor
#endfor
#endif

// Where block `block` of a tile lies: (along m or n, along k), in elements from the tile's corner. Four neighbours read
// along the operand's rows, so that they share cache lines.
fn along_k(block: u32, width: u32) -> vec2<u32> {
  return vec2<u32>((block / 4u) % width, block % 4u + block / (4u * width) * 4u) * 4u;
}
fn place_a(block: u32) -> vec2<u32> {
  return along_k(block, A_WIDTH);
}
fn place_b(block: u32) -> vec2<u32> {
#if B_ALONG_K
  return along_k(block, B_WIDTH);
#else
  return vec2<u32>(block % B_WIDTH, block / B_WIDTH) * 4u;
#endif
}

// Invocations by rows and columns of outputs: 32 neighbours make 4 × 8 of them, the shape that reads least.
fn row_of_lane(lane: u32) -> u32 { return (lane / 8u) % 4u + lane / 32u / (TX / 8u) * 4u; }
fn column_of_lane(lane: u32) -> u32 { return lane % 8u + (lane / 32u) % (TX / 8u) * 8u; }

// Puts a 4 × 4 block into a tile as four vectors along m, or n.
fn put_a(at: vec2<u32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) {
#for r 4
  a_tile[at.y + {r}u][at.x / 4u] = vec4<f32>(v0[{r}], v1[{r}], v2[{r}], v3[{r}]);
#endfor
}
fn put_b(at: vec2<u32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>, turned: bool) {
#for r 4
  b_tile[at.y + {r}u][at.x / 4u] = select(v{r}, vec4<f32>(v0[{r}], v1[{r}], v2[{r}], v3[{r}]), turned);
#endfor
}

#if PREFETCH
// Starts to read the step at k0.
fn fetch_step(m0: u32, n0: u32, k0: u32, lane: u32) {
#for s STAGES
  {
    let block = lane + {s}u * THREADS;
    if (block < A_BLOCKS) {
      let at = vec2<u32>(m0, k0) + place_a(block);
#for r 4
      next_a_{s}_{r} = fetch_a(at.x + {r}u, at.y);
#endfor
    } else if (block < A_BLOCKS + B_BLOCKS) {
      let at = vec2<u32>(n0, k0) + place_b(block - A_BLOCKS);
#for r 4
#if B_ALONG_K
      next_b_{s}_{r} = fetch_b(at.x + {r}u, at.y);
#else
      next_b_{s}_{r} = fetch_b(at.x, at.y + {r}u);
#endif
#endfor
    }
  }
#endfor
}

// The step at k0, which was fetched, to workgroup memory.
fn stage_step(m0: u32, n0: u32, k0: u32, lane: u32) {
#for s STAGES
  {
    let block = lane + {s}u * THREADS;
    if (block < A_BLOCKS) {
      let own = place_a(block);
      let at = vec2<u32>(m0, k0) + own;
#for r 4
      let v{r} = decode_a(next_a_{s}_{r}, at.x + {r}u, at.y);
#endfor
      put_a(own, v0, v1, v2, v3);
    } else if (block < A_BLOCKS + B_BLOCKS) {
      let own = place_b(block - A_BLOCKS);
      let at = vec2<u32>(n0, k0) + own;
#for r 4
#if B_ALONG_K
      let v{r} = decode_b(next_b_{s}_{r}, at.x + {r}u, at.y);
#else
      let v{r} = decode_b(next_b_{s}_{r}, at.x, at.y + {r}u);
#endif
#endfor
      put_b(own, v0, v1, v2, v3, B_ALONG_K);
    }
  }
#endfor
}
#else
// The step at k0, read and put into workgroup memory at once.
fn stage_step(m0: u32, n0: u32, k0: u32, lane: u32) {
  for (var block = lane; block < A_BLOCKS + B_BLOCKS; block += THREADS) {
    var v: array<vec4<f32>, 4>;
    if (block < A_BLOCKS) {
      let own = place_a(block);
      let at = vec2<u32>(m0, k0) + own;
      for (var r = 0u; r < 4u; r++) {
        let own_at = at + vec2<u32>(r, 0u);
        v[r] = decode_a(fetch_a(own_at.x, own_at.y), own_at.x, own_at.y);
      }
      put_a(own, v[0], v[1], v[2], v[3]);
    } else {
      let own = place_b(block - A_BLOCKS);
      let at = vec2<u32>(n0, k0) + own;
      for (var r = 0u; r < 4u; r++) {
        let own_at = at + select(vec2<u32>(0u, r), vec2<u32>(r, 0u), B_ALONG_K);
        v[r] = decode_b(fetch_b(own_at.x, own_at.y), own_at.x, own_at.y);
      }
      put_b(own, v[0], v[1], v[2], v[3], B_ALONG_K);
    }
  }
}
#endif

#if LOW_RANK
// A step of the low-rank product: short, so it is read when it is needed.
fn stage_low_rank(m0: u32, n0: u32, k0: u32, lane: u32) {
  for (var block = lane; block < A_BLOCKS + B_BLOCKS; block += THREADS) {
    if (block < A_BLOCKS) {
      let own = place_a(block);
      let m = m0 + own.x;
      let k = k0 + own.y;
      put_a(own, low_rank_a(m, k), low_rank_a(m + 1u, k), low_rank_a(m + 2u, k), low_rank_a(m + 3u, k));
    } else {
      let own = place_b(block - A_BLOCKS);
      let n = n0 + own.x;
      let k = k0 + own.y;
#if B_ALONG_K
      put_b(own, low_rank_b(n, k), low_rank_b(n + 1u, k), low_rank_b(n + 2u, k), low_rank_b(n + 3u, k), true);
#else
      put_b(own, low_rank_b(n, k), low_rank_b(n, k + 1u), low_rank_b(n, k + 2u), low_rank_b(n, k + 3u), false);
#endif
    }
  }
}
#endif

// acc += what is in the tiles.
fn multiply_tiles(lane: u32) {
  let tx = column_of_lane(lane);
  let ty = row_of_lane(lane);
  for (var k0 = 0u; k0 < TILE_K; k0 += UNROLL) {
#for k UNROLL
    {
#for i RM
      let a_{i} = a_tile[k0 + {k}u][ty + {i}u * TY];
#endfor
#for j RN
      let b_{j} = b_tile[k0 + {k}u][tx + {j}u * TX];
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

// acc += A·B over k in [k_begin, k_end), in steps of TILE_K, then the low-rank product over [0, rank); m0 and n0 are the
// tile's corner. Uniform control flow.
fn accumulate(m0: u32, n0: u32, k_begin: u32, k_end: u32, rank: u32, lane: u32) {
  let steps = (k_end - k_begin + TILE_K - 1u) / TILE_K;
#if PREFETCH
  fetch_step(m0, n0, k_begin, lane);
#endif
#if LOW_RANK
  let all_steps = steps + (rank + TILE_K - 1u) / TILE_K;
#else
  let all_steps = steps;
#endif
  for (var i = 0u; i < all_steps; i++) {
    let k0 = k_begin + i * TILE_K;
#if LOW_RANK
    if (i < steps) { stage_step(m0, n0, k0, lane); } else { stage_low_rank(m0, n0, (i - steps) * TILE_K, lane); }
#else
    stage_step(m0, n0, k0, lane);
#endif
    workgroupBarrier();
#if PREFETCH
    // Also after the last step, where it reads for nothing: a branch here would keep it from running beside what follows.
    fetch_step(m0, n0, k0 + TILE_K, lane);
#endif
    multiply_tiles(lane);
    workgroupBarrier();
  }
}

fn store_tile(m0: u32, n0: u32, lane: u32) {
  let m = m0 + row_of_lane(lane) * 4u;
  let n = n0 + column_of_lane(lane) * 4u;
#if STORE_LOOP
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
#else
#for i RM
#for c 4
#for j RN
  store(m + {i}u * TY * 4u + {c}u, n + {j}u * TX * 4u, acc_{i}_{c}_{j});
#endfor
#endfor
#endfor
#endif
}
