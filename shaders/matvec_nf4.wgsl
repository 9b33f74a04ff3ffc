// matmul_nf4.wgsl for at most ROWS tokens: y = x·Wᵀ (+ strength · s · u·Bᵀ) (+ bias) (+ residual) for SEGMENTS linears that share
// an input, their outputs side by side. x [T, depth], depth whole runs; y [T, y_stride]; u = A·x [T, u_stride],
// without the factor s; strength [T] says how much of the adapter each row gets: 0 is the base model.
#include "common/nf4.wgsl"
#include "common/matvec.wgsl"

struct Segment { begin: u32, width: u32, nf4: Nf4, bias_at: u32, lora_at: u32, u_at: u32, rank: u32, scale: f32 }

#for s SEGMENTS
fn segment_{s}() -> Segment {
  return Segment(params.begin_{s}, params.width_{s}, Nf4(params.codes_at_{s}, params.absmax_at_{s}, params.nested_at_{s}),
    params.bias_at_{s}, params.lora_at_{s}, params.u_at_{s}, params.rank_{s}, params.scale_{s});
}
#endfor
var<private> segment: Segment;
var<private> offset: f32;

fn x_vector(row: u32, vector: u32) -> vec4<f32> {
  return x[min(row, step.tokens - 1u) * (params.depth / 4u) + min(vector, params.depth / 4u - 1u)];
}

// Beyond the last output, its weights again.
fn element(output: u32, run: u32) -> u32 { return min(output, segment.width - 1u) * params.depth + run * RUN_ELEMENTS; }
fn fetch(output: u32, run: u32) -> Run { return fetch_run(segment.nf4, element(output, run)); }
fn weights_of(raw: Run, v: u32) -> vec4<f32> { return run_vector(segment.nf4, raw, v); }
fn factor_of(raw: Run, output: u32, run: u32) -> f32 { return run_factor(segment.nf4, raw, element(output, run), offset); }

#if LORA
fn add_low_rank(first: u32, lane: u32) {
#for m ROWS
  let strength_{m} = segment.scale * strength[min({m}u, step.tokens - 1u)];
#endfor
  for (var j = lane % TEAM; j < segment.rank; j += TEAM) {
#for m ROWS
    let u_{m} = strength_{m} * u[min({m}u, step.tokens - 1u) * params.u_stride + segment.u_at + j];
#endfor
#for r PER_TEAM
    {
      let b = lora[segment.lora_at + min(first + {r}u * TEAMS, segment.width - 1u) * segment.rank + j];
#for m ROWS
      acc_{r}_{m} += b * u_{m};
#endfor
    }
#endfor
  }
}
#endif

fn store(row: u32, output: u32, value: f32) {
  if (output >= segment.width) { return; }
  let column = segment.begin + output;
  var sum = value;
#if BIAS
  // A linear without bias among ones with has bias_at = 0.
  if (segment.bias_at != 0u) { sum += bitcast<f32>(word(segment.bias_at + output)); }
#endif
#if RESIDUAL
  sum += residual[row * params.y_stride + column];
#endif
  y[row * params.y_stride + column] = sum;
}

@compute @workgroup_size(TEAM * TEAMS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  load_tables(lane, LANES);
  // Found in a variable of the function's own: the compiler must see that all invocations agree on it.
  var found = segment_0();
  var tile = group.x;
#for s SEGMENTS
  if (group.x >= params.tile_{s}) {
    found = segment_{s}();
    tile = group.x - params.tile_{s};
  }
#endfor
  segment = found;
  offset = absmax_offset(found.nf4);
  workgroupBarrier();
  let first_of_group = tile * TEAMS * PER_TEAM;
  let first = first_of_group + lane / TEAM;
  accumulate_runs(first, lane);
#if LORA
  add_low_rank(first, lane);
#endif
  store_sums(first_of_group, lane);
}
