// y = Σ partial sums of a matmul whose depth was split (+ bias) (+ residual): the epilogue that its parts could not have.
// partials [splits, plane] with plane = rows · width; y [T, y_stride] from a column offset; residual [T, width]. Rows from
// params.first_token of the micro-batch, at most params.row_count of them. WIDE outputs an invocation: with ALIGNED four,
// bound as vectors. ACCUMULATE adds to y.
#include "common/indexing.wgsl"

#if BIAS
fn bias_of(column: u32) -> f32 {
  // A linear without bias among ones with has bias_at = 0.
  var bias_at = 0u;
  var begin = 0u;
#for s SEGMENTS
  if (column >= params.begin_{s}) {
    bias_at = params.bias_at_{s};
    begin = params.begin_{s};
  }
#endfor
  return select(0.0, bitcast<f32>(slab[bias_at + column - begin]), bias_at != 0u);
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let row = index * WIDE / params.width;
  let column = index * WIDE % params.width;
  if (row >= min(params.row_count, step.tokens - min(step.tokens, params.first_token))) { return; }
  var sum = partials[index];
  for (var split = 1u; split < params.splits; split++) { sum += partials[split * (params.plane / WIDE) + index]; }
#if BIAS
#if ALIGNED
  sum += vec4<f32>(bias_of(column), bias_of(column + 1u), bias_of(column + 2u), bias_of(column + 3u));
#else
  sum += bias_of(column);
#endif
#endif
#if RESIDUAL
  sum += residual[index];
#endif
  let at = (row * params.y_stride + params.y_at + column) / WIDE;
#if ACCUMULATE
  y[at] += sum;
#else
  store_y(at, sum);
#endif
}
