// Gradients of a group's LoRA matrices, summed over the micro-batch's tokens and added to what is there: dA += duᵀ·x for
// all segments' A at once (gradients [a_rank, in] from a_at, the columns of du from a_u_at), dB += dyᵀ·u for each (gradients
// [out, rank] from b_at); u has the factor s in it.
// x [T, x_stride], dy [T, dy_stride], each from a column offset; u and du [T, u_stride] with each segment's rank columns.
// A workgroup makes 16 ranks × 64 features: an invocation 4 × 4 of them over its share of every step's tokens (SLICES
// shares), summed at the end. Each output has one owner and adds in a fixed order, so that results repeat bit for bit.
// SPLIT: workgroups along y take split_tokens of the tokens each, and partials [splits, plane] get their sums, laid out as
// gradients from a_at on. Reading is apart from staging, as in low_rank.wgsl. ALIGNED: strides and offsets of x and dy are whole groups of four,
// and they are bound as vectors.
const NARROW = 4u; // vectors of ranks
const WIDE = 16u; // vectors of features
const THREADS = NARROW * WIDE * SLICES;
const WIDE_ROWS = THREADS / WIDE; // rows of features that the workgroup reads at once

// Of A or of a segment's B: what is narrow (du or u) and what is wide (x or dy), columns from …_at.
struct Job { of_a: bool, narrow_at: u32, narrow: u32, wide_at: u32, wide: u32, out_at: u32 }
var<private> job: Job;

// By a step's row of shares, share, and vector: indices that are written out are not checked.
var<workgroup> narrow_tile: array<array<array<vec4<f32>, NARROW>, SLICES>, ROUNDS>;
var<workgroup> wide_tile: array<array<array<vec4<f32>, WIDE>, SLICES>, ROUNDS>;
var<workgroup> sums: array<vec4<f32>, THREADS>;

#for i READS_EACH
var<private> next_wide_{i}: vec4<f32>;
#endfor
var<private> next_narrow: vec4<f32>;

// Outside the operands the last elements are read; tokens beyond the last count as zero in the narrow operand.
fn fetch_narrow(token: u32, c: u32) -> vec4<f32> {
  let at = min(token, step.tokens - 1u) * params.u_stride + job.narrow_at;
  let last = job.narrow - 1u;
  let i = vec4<u32>(at) + min(vec4<u32>(c, c + 1u, c + 2u, c + 3u), vec4<u32>(last));
  if (job.of_a) { return vec4<f32>(du[i.x], du[i.y], du[i.z], du[i.w]); }
  return vec4<f32>(u[i.x], u[i.y], u[i.z], u[i.w]);
}

fn fetch_wide(token: u32, c: u32) -> vec4<f32> {
  let row = min(token, step.tokens - 1u);
#if ALIGNED
  let column = job.wide_at + min(c, job.wide - 4u);
  if (job.of_a) { return x[(row * params.x_stride + column) >> 2u]; }
  return dy[(row * params.dy_stride + column) >> 2u];
#else
  let columns = vec4<u32>(job.wide_at) + min(vec4<u32>(c, c + 1u, c + 2u, c + 3u), vec4<u32>(job.wide - 1u));
  if (job.of_a) {
    let i = vec4<u32>(row * params.x_stride) + columns;
    return vec4<f32>(x[i.x], x[i.y], x[i.z], x[i.w]);
  }
  let i = vec4<u32>(row * params.dy_stride) + columns;
  return vec4<f32>(dy[i.x], dy[i.y], dy[i.z], dy[i.w]);
#endif
}

fn fetch_step(token: u32, m0: u32, n0: u32, lane: u32) {
#for i READS_EACH
  next_wide_{i} = fetch_wide(token + {i}u * WIDE_ROWS + lane / WIDE, n0 + (lane % WIDE) * 4u);
#endfor
  if (lane < STEP_TOKENS * NARROW) { next_narrow = fetch_narrow(token + lane / NARROW, m0 + (lane % NARROW) * 4u); }
}

fn stage_step(token: u32, lane: u32) {
#for i READS_EACH
  {
    let own = {i}u * WIDE_ROWS + lane / WIDE;
    wide_tile[own / SLICES][own % SLICES][lane % WIDE] = next_wide_{i};
  }
#endfor
  if (lane < STEP_TOKENS * NARROW) {
    let own = lane / NARROW;
    narrow_tile[own / SLICES][own % SLICES][lane % NARROW] = select(vec4<f32>(0.0), next_narrow, token + own < step.tokens);
  }
}

@compute @workgroup_size(64u * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // Tiles of A's gradient first, then each segment's B's.
  job = Job(true, params.a_u_at, params.a_rank, params.x_at, params.in_features, params.a_at);
  var tile = group.x;
#for s SEGMENTS
  if (group.x >= params.tile_{s}) {
    job = Job(false, params.u_at_{s}, params.rank_{s}, params.dy_at_{s}, params.out_{s}, params.b_at_{s});
    tile = group.x - params.tile_{s};
  }
#endfor
  let across = (job.wide + WIDE * 4u - 1u) / (WIDE * 4u);
  let m0 = (tile / across) * NARROW * 4u;
  let n0 = (tile % across) * WIDE * 4u;
  let slice = lane / 64u;
  let tx = lane % WIDE;
  let ty = (lane % 64u) / WIDE;
#for c 4
  var acc_{c} = vec4<f32>(0.0);
#endfor
#if SPLIT
  let begin = group.y * params.split_tokens;
  let end = min(step.tokens, begin + params.split_tokens);
#else
  let begin = 0u;
  let end = step.tokens;
#endif
  fetch_step(begin, m0, n0, lane);
  for (var token = begin; token < end; token += STEP_TOKENS) {
    stage_step(token, lane);
    workgroupBarrier();
    fetch_step(token + STEP_TOKENS, m0, n0, lane);
#for i ROUNDS
    {
      let a = narrow_tile[{i}][slice][ty];
      let b = wide_tile[{i}][slice][tx];
#for c 4
      acc_{c} += a[{c}] * b;
#endfor
    }
#endfor
    workgroupBarrier();
  }
#for c 4
  sums[lane] = acc_{c};
  workgroupBarrier();
  if (slice == 0u) {
    let m = m0 + ty * 4u + {c}u;
    var sum = acc_{c};
    for (var other = 1u; other < SLICES; other++) { sum += sums[other * 64u + lane]; }
    if (m < job.narrow) {
      for (var e = 0u; e < 4u; e++) {
        let n = n0 + tx * 4u + e;
        if (n >= job.wide) { break; }
        var at = job.out_at + m * job.wide + n;
        if (!job.of_a) { at = job.out_at + n * job.narrow + m; }
#if SPLIT
        partials[group.y * params.plane + at - params.a_at] = sum[e];
#else
        gradients[at] += sum[e];
#endif
      }
    }
  }
  workgroupBarrier();
#endfor
}
