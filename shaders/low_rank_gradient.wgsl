// Gradients of a group's LoRA matrices, summed over the micro-batch's tokens and added to what is there: dA += duᵀ·x for
// all segments' A at once (gradients [a_rank, in] from a_at, the columns of du from a_u_at), dB += dyᵀ·u for each (gradients
// [out, rank] from b_at); u has the factor s in it. For A wide_0 is x and narrow_0 is du, for B wide_1 is dy and narrow_1 is
// u: wide [T, wide_stride] from a column offset, narrow [T, u_stride] with each segment's rank columns.
// A workgroup makes 16 ranks × 64 features: an invocation all ranks of four features over its share of the tokens (SLICES
// shares), summed at the end. What is wide is read once, what is narrow by all neighbours together, UNROLL tokens at a time.
// Each output has one owner and adds in a fixed order, so that results repeat bit for bit.
// SPLIT: workgroups along y take split_tokens of the tokens each, and partials [splits, plane] get their sums, laid out as
// gradients from a_at on. ALIGNED: strides and offsets of what is wide are whole groups of four, and it is
// bound as vectors; NARROW_VECTORS: what is narrow too, and all ranks.
const SLICES = 16u;
const WIDE = 16u; // vectors of features

// Of A or of a segment's B: columns of what is narrow and of what is wide from …_at.
struct Job { of_a: bool, narrow_at: u32, narrow: u32, wide_at: u32, wide: u32, out_at: u32 }
var<private> job: Job;

// Four ranks of every feature, by slice.
var<workgroup> sums: array<vec4<f32>, SLICES * 4u * WIDE>;

// Four columns of a row from `at`, beginning with c; behind the last it is read again.
fn columns(at: u32, c: u32, count: u32) -> vec4<u32> {
  return vec4<u32>(at) + min(vec4<u32>(c, c + 1u, c + 2u, c + 3u), vec4<u32>(count - 1u));
}
#for w 2
fn narrow_vector_{w}(token: u32, c: u32) -> vec4<f32> {
  let at = token * params.u_stride + job.narrow_at;
#if NARROW_VECTORS
  return narrow_{w}[(at + min(c, job.narrow - 4u)) >> 2u];
#else
  let i = columns(at, c, job.narrow);
  return vec4<f32>(narrow_{w}[i.x], narrow_{w}[i.y], narrow_{w}[i.z], narrow_{w}[i.w]);
#endif
}
fn wide_vector_{w}(token: u32, c: u32) -> vec4<f32> {
  let at = token * params.wide_stride_{w} + job.wide_at;
#if ALIGNED
  return load_wide_{w}((at + min(c, job.wide - 4u)) >> 2u);
#else
  let i = columns(at, c, job.wide);
  return vec4<f32>(wide_{w}[i.x], wide_{w}[i.y], wide_{w}[i.z], wide_{w}[i.w]);
#endif
}
#endfor

// Adds to the gradient of rank m and features n … n+3, or to its part.
fn store(m: u32, n: u32, value: vec4<f32>, split: u32) {
  if (m >= job.narrow) { return; }
  for (var e = 0u; e < 4u; e++) {
    if (n + e >= job.wide) { break; }
    var at = job.out_at + m * job.wide + n + e;
    if (!job.of_a) { at = job.out_at + (n + e) * job.narrow + m; }
#if SPLIT
    partials[split * params.plane + at - params.a_at] = value[e];
#else
    gradients[at] += value[e];
#endif
  }
}

@compute @workgroup_size(WIDE * SLICES)
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
  let n = n0 + lane % WIDE * 4u;
#if SPLIT
  let begin = group.y * params.split_tokens;
  let end = min(step.tokens, begin + params.split_tokens);
#else
  let begin = 0u;
  let end = step.tokens;
#endif
#for v NARROW
#for e 4
  var acc_{v}_{e} = vec4<f32>(0.0);
#endfor
#endfor
  // Written out for A and for B: reads behind a branch would wait for each other.
#for w 2
  if (job.of_a == ({w}u == 0u)) {
    for (var token = begin + lane / WIDE; token < end; token += UNROLL * SLICES) {
#for i UNROLL
      let t_{i} = min(token + {i}u * SLICES, step.tokens - 1u);
      // A token beyond the last counts as zero.
      let x_{i} = select(vec4<f32>(0.0), wide_vector_{w}(t_{i}, n), token + {i}u * SLICES < end);
#for v NARROW
      let u_{i}_{v} = narrow_vector_{w}(t_{i}, m0 + 4u * {v}u);
#endfor
#endfor
#for i UNROLL
#for v NARROW
#for e 4
      acc_{v}_{e} += u_{i}_{v}[{e}] * x_{i};
#endfor
#endfor
#endfor
    }
  }
#endfor
#for v NARROW
#for e 4
  sums[(lane / WIDE * 4u + {e}u) * WIDE + lane % WIDE] = acc_{v}_{e};
#endfor
  workgroupBarrier();
  if (lane < 4u * WIDE) {
    var sum = sums[lane];
    for (var other = 1u; other < SLICES; other++) { sum += sums[other * 4u * WIDE + lane]; }
    store(m0 + 4u * {v}u + lane / WIDE, n, sum, group.y);
  }
  workgroupBarrier();
#endfor
}
