// The tile that the attention kernels share (Dao 2023, FlashAttention-2). TX × TY invocations own ROWS rows (queries, or
// keys where gradients of keys are made) and walk along the other side in tiles of COLUMNS. Invocation (tx, ty) holds
//   score_{set}_{i}_{c}_{j}   row 4·(ty + i·TY) + c, columns 4·(tx + j·TX) … + 3
//   out_{set}_{i}_{c}_{j}     the same row, dimensions 4·(tx + j·TX) … + 3
// in named variables, written out by #for, so that they stay in registers. Two products make them:
//   score = A·Bᵀ over the head's dimensions, DEPTH at a time
//   out += score·B over the tile's columns, SPAN at a time
// Operands lie in workgroup memory along the summed index, as vec4 across it. Each step's global reads are issued before
// the previous step is multiplied. Whole operands would need 16 KiB and more a workgroup; steps need 8, so that several
// workgroups share a multiprocessor and hide each other's barriers; what is read again comes from the cache.
//
// The file that includes this one defines, for each set, with v counting vectors of four dimensions,
//   fn a_vector_{set}(row: u32, v: u32) -> vec4<f32>, b_vector_{set}(column: u32, v: u32)   operands of score_{set}
//   fn out_vector_{set}(column: u32, v: u32) -> vec4<f32>                                   B of out_{set}
//   fn store_{set}(row: u32, v: u32, value: vec4<f32>)                                      for rows below step.tokens
const THREADS = TX * TY;
const ROWS = 4u * RM * TY;
const COLUMNS = 4u * RN * TX;
const A_WIDTH = RM * TY;
const B_WIDTH = RN * TX;
const OUT_WIDTH = RD * TX;
const A_BLOCKS = A_WIDTH * (DEPTH / 4u);
const B_BLOCKS = B_WIDTH * (DEPTH / 4u);
const HEAD_VECTORS = (HEAD_DIM + 3u) / 4u;
// Elements of the arrays from head to head; params.stride, o_stride, k_at and v_at count the same elements.
#if ALIGNED
const HEAD_STEP = HEAD_VECTORS;
#else
const HEAD_STEP = HEAD_DIM;
#endif
const STEPS = 4u * HEAD_VECTORS / DEPTH;
const SPANS = COLUMNS / SPAN;

// Arrays of arrays, since every index into workgroup memory is checked: one that is written out costs nothing, and the
// invocation's own is checked once.
var<workgroup> a_tile: array<array<vec4<f32>, A_WIDTH>, A_DEPTH>;
var<workgroup> b_tile: array<array<vec4<f32>, max(B_WIDTH, OUT_WIDTH)>, max(DEPTH, SPAN)>;
var<workgroup> bounds: vec2<u32>;
#if PREFETCH
#for u FETCH
#for r 4
var<private> block_{u}_{r}: vec4<f32>;
#endfor
#endfor
#for u ROW_FETCH
var<private> row_{u}: vec4<f32>;
#endfor
#endif
#for set SCORES
#for i RM
#for c 4
#for j RN
var<private> score_{set}_{i}_{c}_{j}: vec4<f32>;
#endfor
#endfor
#endfor
#endfor
#for set OUTS
#for i RM
#for c 4
#for j RD
var<private> out_{set}_{i}_{c}_{j}: vec4<f32>;
#endfor
#endfor
#endfor
#endfor

// A bound that all invocations agree on, computed by one.
fn agreed_bounds(mine: vec2<u32>, lane: u32) -> vec2<u32> {
  if (lane == 0u) { bounds = mine; }
  return workgroupUniformLoad(&bounds);
}

// Where a head's dimensions 4·v … 4·v + 3 lie in a row of an array. Rows behind the last are taken for the last, which
// is finite: what comes of them is masked or not stored. So are dimensions behind the head's.
fn vector_at(row: u32, stride: u32, head_at: u32, v: u32) -> u32 {
#if ALIGNED
  return min(row, step.tokens - 1u) * stride + head_at + min(v, HEAD_VECTORS - 1u);
#else
  return min(row, step.tokens - 1u) * stride + head_at + 4u * v;
#endif
}

#if ALIGNED
fn qkv_vector(row: u32, head_at: u32, v: u32) -> vec4<f32> {
  return load_qkv(vector_at(row, params.stride, head_at, v));
}
#else
// Which of a vector's elements are dimensions of the head; the others are zero.
fn within_head(v: u32) -> vec4<bool> {
  return vec4<u32>(4u * v) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(HEAD_DIM);
}
fn qkv_vector(row: u32, head_at: u32, v: u32) -> vec4<f32> {
  let at = vector_at(row, params.stride, head_at, v);
  return select(vec4<f32>(0.0), vec4<f32>(qkv[at], qkv[at + 1u], qkv[at + 2u], qkv[at + 3u]), within_head(v));
}
#endif

// Adding the TX vectors that the invocations of four rows hold, or taking their maxima: through workgroup memory, every
// invocation gets the result.
fn share(i: u32, mine: vec4<f32>, lane: u32) {
  a_tile[lane % TX][lane / TX + i * TY] = mine;
}
fn shared_sum(i: u32, lane: u32) -> vec4<f32> {
  var sum = vec4<f32>(0.0);
  for (var t = 0u; t < TX; t++) { sum += a_tile[t][lane / TX + i * TY]; }
  return sum;
}
fn shared_max(i: u32, lane: u32) -> vec4<f32> {
  var top = a_tile[0][lane / TX + i * TY];
  for (var t = 1u; t < TX; t++) { top = max(top, a_tile[t][lane / TX + i * TY]); }
  return top;
}

// A 4 × 4 block of rows, turned, into a tile.
fn put_a(block: u32, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) {
#for k 4
  a_tile[block / A_WIDTH * 4u + {k}u][block % A_WIDTH] = vec4<f32>(v0[{k}], v1[{k}], v2[{k}], v3[{k}]);
#endfor
}
fn put_b(block: u32, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) {
#for k 4
  b_tile[block / B_WIDTH * 4u + {k}u][block % B_WIDTH] = vec4<f32>(v0[{k}], v1[{k}], v2[{k}], v3[{k}]);
#endfor
}

// Blocks of A, then of B, dealt out to the invocations. PREFETCH reads a step's blocks into registers first and puts
// them into the tiles later; without it, where latency does not matter and code does, one loop does both.
#if PREFETCH
fn put_blocks(lane: u32) {
#for u FETCH
  {
    let block = lane + {u}u * THREADS;
    if (block < A_BLOCKS) {
      put_a(block, block_{u}_0, block_{u}_1, block_{u}_2, block_{u}_3);
    } else if (block < A_BLOCKS + B_BLOCKS) {
      put_b(block - A_BLOCKS, block_{u}_0, block_{u}_1, block_{u}_2, block_{u}_3);
    }
  }
#endfor
}
#endif

#for set SCORES
fn fetch_blocks_{set}(row0: u32, column0: u32, depth_step: u32, lane: u32) {
#if PREFETCH
#for u FETCH
  {
    let block = lane + {u}u * THREADS;
    if (block < A_BLOCKS) {
      let row = row0 + (block % A_WIDTH) * 4u;
      let v = depth_step * (DEPTH / 4u) + block / A_WIDTH;
#for r 4
      block_{u}_{r} = a_vector_{set}(row + {r}u, v);
#endfor
    } else if (block < A_BLOCKS + B_BLOCKS) {
      let column = column0 + ((block - A_BLOCKS) % B_WIDTH) * 4u;
      let v = depth_step * (DEPTH / 4u) + (block - A_BLOCKS) / B_WIDTH;
#for r 4
      block_{u}_{r} = b_vector_{set}(column + {r}u, v);
#endfor
    }
  }
#endfor
#endif
}

#if PREFETCH
#else
fn stage_blocks_{set}(row0: u32, column0: u32, depth_step: u32, lane: u32) {
  var rows: array<vec4<f32>, 4>;
  for (var block = lane; block < A_BLOCKS; block += THREADS) {
    for (var r = 0u; r < 4u; r++) {
      rows[r] = a_vector_{set}(row0 + (block % A_WIDTH) * 4u + r, depth_step * (DEPTH / 4u) + block / A_WIDTH);
    }
    put_a(block, rows[0], rows[1], rows[2], rows[3]);
  }
  for (var block = lane; block < B_BLOCKS; block += THREADS) {
    for (var r = 0u; r < 4u; r++) {
      rows[r] = b_vector_{set}(column0 + (block % B_WIDTH) * 4u + r, depth_step * (DEPTH / 4u) + block / B_WIDTH);
    }
    put_b(block, rows[0], rows[1], rows[2], rows[3]);
  }
}
#endif

fn multiply_blocks_{set}(lane: u32) {
  for (var k0 = 0u; k0 < DEPTH; k0 += UNROLL) {
#for k UNROLL
    {
#for i RM
      let a_{i} = a_tile[k0 + {k}u][lane / TX + {i}u * TY];
#endfor
#for j RN
      let b_{j} = b_tile[k0 + {k}u][lane % TX + {j}u * TX];
#endfor
#for i RM
#for c 4
#for j RN
      score_{set}_{i}_{c}_{j} += a_{i}[{c}] * b_{j};
#endfor
#endfor
#endfor
    }
#endfor
  }
}

// score_{set} = A·Bᵀ; the first step's blocks are fetched already. Uniform control flow.
fn make_scores_{set}(row0: u32, column0: u32, lane: u32) {
#for i RM
#for c 4
#for j RN
  score_{set}_{i}_{c}_{j} = vec4<f32>(0.0);
#endfor
#endfor
#endfor
  for (var depth_step = 0u; depth_step < STEPS; depth_step++) {
    workgroupBarrier();
#if PREFETCH
    put_blocks(lane);
#else
    stage_blocks_{set}(row0, column0, depth_step, lane);
#endif
    workgroupBarrier();
    if (depth_step + 1u < STEPS) { fetch_blocks_{set}(row0, column0, depth_step + 1u, lane); }
    multiply_blocks_{set}(lane);
  }
}
#endfor

#for set OUTS
fn fetch_rows_{set}(column0: u32, span: u32, lane: u32) {
#if PREFETCH
#for u ROW_FETCH
  {
    let i = lane + {u}u * THREADS;
    if (i < SPAN * OUT_WIDTH) { row_{u} = out_vector_{set}(column0 + span * SPAN + i / OUT_WIDTH, i % OUT_WIDTH); }
  }
#endfor
#endif
}

// The scores of the span's columns, by the invocations that hold them, and its rows into the tiles.
fn put_span_{set}(column0: u32, span: u32, lane: u32) {
#for j RN
  {
    let column = lane % TX + {j}u * TX;
    if (column / (SPAN / 4u) == span) {
      let at = (column % (SPAN / 4u)) * 4u;
#for i RM
#for k 4
      a_tile[at + {k}u][lane / TX + {i}u * TY] = vec4<f32>(score_{set}_{i}_0_{j}[{k}], score_{set}_{i}_1_{j}[{k}], score_{set}_{i}_2_{j}[{k}], score_{set}_{i}_3_{j}[{k}]);
#endfor
#endfor
    }
  }
#endfor
#if PREFETCH
#for u ROW_FETCH
  if (lane + {u}u * THREADS < SPAN * OUT_WIDTH) {
    b_tile[(lane + {u}u * THREADS) / OUT_WIDTH][(lane + {u}u * THREADS) % OUT_WIDTH] = row_{u};
  }
#endfor
#else
  for (var i = lane; i < SPAN * OUT_WIDTH; i += THREADS) {
    b_tile[i / OUT_WIDTH][i % OUT_WIDTH] = out_vector_{set}(column0 + span * SPAN + i / OUT_WIDTH, i % OUT_WIDTH);
  }
#endif
}

fn multiply_span_{set}(lane: u32) {
  for (var k0 = 0u; k0 < SPAN; k0 += UNROLL) {
#for k UNROLL
    {
#for i RM
      let a_{i} = a_tile[k0 + {k}u][lane / TX + {i}u * TY];
#endfor
#for j RD
      let b_{j} = b_tile[k0 + {k}u][lane % TX + {j}u * TX];
#endfor
#for i RM
#for c 4
#for j RD
      out_{set}_{i}_{c}_{j} += a_{i}[{c}] * b_{j};
#endfor
#endfor
#endfor
    }
#endfor
  }
}

// out_{set} += score_{set}·B; the first span's rows are fetched already. Uniform control flow.
fn add_out_{set}(column0: u32, lane: u32) {
  for (var span = 0u; span < SPANS; span++) {
    workgroupBarrier();
    put_span_{set}(column0, span, lane);
    workgroupBarrier();
    if (span + 1u < SPANS) { fetch_rows_{set}(column0, span + 1u, lane); }
    multiply_span_{set}(lane);
  }
}

fn store_out_{set}(row0: u32, lane: u32) {
  // Through an array, so that the code of the store is there once and not for every accumulator.
  var values: array<vec4<f32>, 4u * RM * RD>;
#for i RM
#for c 4
#for j RD
  values[({i}u * RD + {j}u) * 4u + {c}u] = out_{set}_{i}_{c}_{j};
#endfor
#endfor
#endfor
  for (var n = 0u; n < 4u * RM * RD; n++) {
    let row = row0 + 4u * (lane / TX + (n / (4u * RD)) * TY) + n % 4u;
    let v = lane % TX + ((n / 4u) % RD) * TX;
    if (row < step.tokens && v < HEAD_VECTORS) { store_{set}(row, v, values[n]); }
  }
}
#endfor
