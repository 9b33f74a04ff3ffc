// y = x·Wᵀ (+ u·Bᵀ) (+ bias) (+ residual) for SEGMENTS linears that share an input, their outputs side by side: W
// [width, depth] is their 4-bit weights (with FLOATS some linears' are floats) one below the other, and a workgroup's tile
// lies in one of them. TRANSPOSED gives the gradient y = x·W (+ u·A), W [depth, width]. x [T, x_stride], y [T, y_stride], each from a column offset,
// residual [T, width]. LORA: u [T, u_stride] has each segment's rank columns; `lora` holds each segment's B [its width,
// rank], or with TRANSPOSED, where the first segment's fields stand for all, A [rank, width].
// ALIGNED: strides, offsets and widths are whole groups of four, and x, y and residual are bound as vectors; x and y may be
// in 16 bits;
// LORA_VECTORS: ranks and what is u's and lora's too.
// SPLIT_K: workgroups along z take split_depth of the depth each, and y [splits, capacity, y_stride] gets partial sums.
#include "common/nf4.wgsl"

struct Segment { begin: u32, width: u32, nf4: Nf4, bias_at: u32, lora_at: u32, u_at: u32, rank: u32 }

#for s SEGMENTS
fn segment_{s}() -> Segment {
  return Segment(params.begin_{s}, params.width_{s}, Nf4(params.codes_at_{s}, params.absmax_at_{s}, params.nested_at_{s}),
    params.bias_at_{s}, params.lora_at_{s}, params.u_at_{s}, params.rank_{s});
}
#endfor
// The linear this workgroup computes; with TRANSPOSED the first. Offsets of absmax values, read once.
var<private> segment: Segment;
#for s SEGMENTS
var<private> offset_{s}: f32;
#endfor
var<private> offset: f32;

fn rows() -> u32 { return step.tokens; }
#include "common/matmul_left.wgsl"

#if TRANSPOSED
// A vector of weights runs along the output: row k of the segment that it lies in, counted over all segments.
struct Row { nf4: Nf4, first: u32, offset: f32 }
fn row_of(k: u32) -> Row {
  let row = min(k, params.depth - 1u);
  var nf4 = segment_0().nf4;
  var begin = 0u;
  var own_offset = offset_0;
#for s SEGMENTS
  if (row >= params.begin_{s}) {
    nf4 = segment_{s}().nf4;
    begin = params.begin_{s};
    own_offset = offset_{s};
  }
#endfor
  return Row(nf4, (row - begin) * params.width, own_offset);
}
#endif

#if MATRIX
#else
// Zeros beyond the depth; beyond a row's end, its last weights.
#if ALIGNED
alias RawB = Packed;
fn fetch_b(n: u32, k: u32) -> RawB {
#if TRANSPOSED
  let row = row_of(k);
  return fetch_packed(row.nf4, row.first + min(n, params.width - 4u));
#else
  return fetch_packed(segment.nf4, min(n, segment.width - 1u) * params.depth + min(k, params.depth - 4u));
#endif
}
fn decode_b(raw: RawB, n: u32, k: u32) -> vec4<f32> {
#if TRANSPOSED
  let row = row_of(k);
  let weights = decode_packed(row.nf4, raw, row.first + min(n, params.width - 4u), row.offset);
#else
  let weights = decode_packed(segment.nf4, raw, min(n, segment.width - 1u) * params.depth + min(k, params.depth - 4u), offset);
#endif
  return select(vec4<f32>(0.0), weights, k < params.depth);
}
#else
alias RawB = vec4<f32>;
fn fetch_b(n: u32, k: u32) -> RawB {
#if TRANSPOSED
  let row = row_of(k);
  let last = params.width - 1u;
  return vec4<f32>(weight_at(row.nf4, row.first + min(n, last), row.offset), weight_at(row.nf4, row.first + min(n + 1u, last), row.offset),
    weight_at(row.nf4, row.first + min(n + 2u, last), row.offset), weight_at(row.nf4, row.first + min(n + 3u, last), row.offset));
#else
  let first = min(n, segment.width - 1u) * params.depth;
  let last = params.depth - 1u;
  return vec4<f32>(weight_at(segment.nf4, first + min(k, last), offset), weight_at(segment.nf4, first + min(k + 1u, last), offset),
    weight_at(segment.nf4, first + min(k + 2u, last), offset), weight_at(segment.nf4, first + min(k + 3u, last), offset));
#endif
}
fn decode_b(raw: RawB, n: u32, k: u32) -> vec4<f32> {
#if TRANSPOSED
  return select(vec4<f32>(0.0), raw, k < params.depth);
#else
  return select(vec4<f32>(0.0), raw, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(params.depth));
#endif
}
#endif
#endif

#if LORA
fn u_index(m: u32, k: u32) -> u32 {
  return min(m, step.tokens - 1u) * params.u_stride + segment.u_at + k;
}

// Whether the adapter's matrix has an element there, and where it lies.
fn in_lora(n: u32, k: u32) -> bool {
#if TRANSPOSED
  return n < params.width && k < segment.rank;
#else
  return n < segment.width && k < segment.rank;
#endif
}
fn lora_index(n: u32, k: u32) -> u32 {
#if TRANSPOSED
  let i = k * params.width + n;
#else
  let i = n * segment.rank + k;
#endif
  return segment.lora_at + i;
}

#if LORA_VECTORS
fn low_rank_a(m: u32, k: u32) -> vec4<f32> {
  return select(vec4<f32>(0.0), u[u_index(m, k) >> 2u], k < segment.rank);
}
fn low_rank_b(n: u32, k: u32) -> vec4<f32> {
  return select(vec4<f32>(0.0), lora[lora_index(n, k) >> 2u], in_lora(n, k));
}
#else
fn low_rank_a(m: u32, k: u32) -> vec4<f32> {
  let at = u_index(m, k);
  return vec4<f32>(
    select(0.0, u[at], k < segment.rank),
    select(0.0, u[at + 1u], k + 1u < segment.rank),
    select(0.0, u[at + 2u], k + 2u < segment.rank),
    select(0.0, u[at + 3u], k + 3u < segment.rank));
}
fn lora_element(n: u32, k: u32) -> f32 {
  return select(0.0, lora[lora_index(n, k)], in_lora(n, k));
}
fn low_rank_b(n: u32, k: u32) -> vec4<f32> {
#if TRANSPOSED
  return vec4<f32>(lora_element(n, k), lora_element(n + 1u, k), lora_element(n + 2u, k), lora_element(n + 3u, k));
#else
  return vec4<f32>(lora_element(n, k), lora_element(n, k + 1u), lora_element(n, k + 2u), lora_element(n, k + 3u));
#endif
}
#endif
#endif

// This workgroup's linear: columns of outputs, where they begin in the group's and in y.
var<private> columns: u32;
var<private> own_begin: u32;
var<private> y_begin: u32;

#if BIAS
// A linear without bias among ones with has bias_at = 0.
fn bias_of(n: u32) -> f32 {
  return select(0.0, bitcast<f32>(word(segment.bias_at + n)), segment.bias_at != 0u);
}
#endif

fn store(m: u32, n: u32, value: vec4<f32>) {
  if (m >= step.tokens || n >= columns) { return; }
  let at = m * params.y_stride + y_begin + n;
#if ALIGNED
  var sum = value;
#if BIAS
#for e 4
  sum[{e}] += bias_of(n + {e}u);
#endfor
#endif
#if RESIDUAL
  sum += residual[(m * params.width + own_begin + n) >> 2u];
#endif
  store_y(at >> 2u, sum);
#else
#for e 4
  if (n + {e}u < columns) {
    var sum = value[{e}];
#if BIAS
    sum += bias_of(n + {e}u);
#endif
#if RESIDUAL
    sum += residual[m * params.width + own_begin + n + {e}u];
#endif
    y[at + {e}u] = sum;
  }
#endfor
#endif
}

#if MATRIX
// Weights come in runs, which share a factor.
alias RawVectors = Run;
#if TRANSPOSED
fn fetch_vectors(n: u32, k: u32) -> Run {
  let row = row_of(k);
  return fetch_run(row.nf4, row.first + min(n, params.width - B_RUN));
}
fn put_vectors(own: vec2<u32>, raw: Run, n: u32, k: u32) {
  let row = row_of(k);
  let nf4 = row.nf4;
  let factor = select(0.0, run_factor(nf4, raw, row.first + min(n, params.width - B_RUN), row.offset), k < params.depth);
#for v RUN_EIGHTS
  put_b(own + vec2<u32>({v}u * 8u, 0u), factor * run_vector(nf4, raw, {v}u * 2u), factor * run_vector(nf4, raw, {v}u * 2u + 1u));
#endfor
}
#else
fn fetch_vectors(n: u32, k: u32) -> Run {
  return fetch_run(segment.nf4, min(n, segment.width - 1u) * params.depth + min(k, params.depth - B_RUN));
}
fn put_vectors(own: vec2<u32>, raw: Run, n: u32, k: u32) {
  let nf4 = segment.nf4;
  let i = min(n, segment.width - 1u) * params.depth + min(k, params.depth - B_RUN);
  let factor = select(0.0, run_factor(nf4, raw, i, offset), k < params.depth);
#for v RUN_EIGHTS
  put_b(own + vec2<u32>(0u, {v}u * 8u), factor * run_vector(nf4, raw, {v}u * 2u), factor * run_vector(nf4, raw, {v}u * 2u + 1u));
#endfor
}
#endif
#include "common/matmul_matrix_tile.wgsl"
#else
#include "common/matmul_tile.wgsl"
#endif

#if MATRIX
@compute @workgroup_size(32u * (TILE_M / (MAT_M * SUB_M)) * (TILE_N / (MAT_N * SUB_N)))
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
#else
@compute @workgroup_size(TILE_M * TILE_N / (16u * RM * RN))
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
#endif
  load_tables(lane, THREADS);
  // Found in a variable of the function's own: the compiler must see that all invocations agree on it.
  var found = segment_0();
  var tile = group.x;
#if TRANSPOSED
  columns = params.width;
  y_begin = params.y_at;
#else
#for s SEGMENTS
  if (group.x >= params.tile_{s}) {
    found = segment_{s}();
    tile = group.x - params.tile_{s};
  }
#endfor
  columns = found.width;
  own_begin = found.begin;
  y_begin = params.y_at + found.begin;
#endif
  segment = found;
#if TRANSPOSED
#for s SEGMENTS
  offset_{s} = absmax_offset(segment_{s}().nf4);
#endfor
#else
  offset = absmax_offset(found.nf4);
#endif
  let m0 = group.y * TILE_M;
  let n0 = tile * TILE_N;
#if SPLIT_K
  let k_begin = group.z * params.split_depth;
  let k_end = min(params.depth, k_begin + params.split_depth);
  y_begin += group.z * params.plane;
  // The low-rank product belongs to the last part.
  let rank = select(0u, found.rank, k_end == params.depth);
#else
  let k_begin = 0u;
  let k_end = params.depth;
  let rank = found.rank;
#endif
  workgroupBarrier();
#if MATRIX
  compute_tile(m0, n0, k_begin, k_end, rank, lane, subgroup);
#else
  accumulate(m0, n0, k_begin, k_end, rank, lane);
  store_tile(m0, n0, lane);
#endif
}
