// DoRA's norms: norms[i] = ‖W_i + s·B_i·A‖ for each output i of a linear; W [out, in] in 4 bits or FLOATS, A [rank, in], B [out, rank].
// A workgroup takes 4 outputs, which share what is read of A; an invocation every 64th input.
#include "common/nf4.wgsl"
const LANES = 64u;

var<workgroup> sums: array<vec4<f32>, LANES>;

fn b_rows(row: u32, r: u32) -> vec4<f32> {
  let last = params.out_features - 1u;
  let i = min(vec4<u32>(row, row + 1u, row + 2u, row + 3u), vec4<u32>(last)) * params.rank + params.b_at + r;
  return vec4<f32>(lora[i.x], lora[i.y], lora[i.z], lora[i.w]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  load_tables(lane, LANES);
  workgroupBarrier();
  let tensor = Nf4(params.codes_at, params.absmax_at, params.nested_at);
  let offset = absmax_offset(tensor);
  let row = group.x * 4u;
  let last = params.out_features - 1u;
  let first = min(vec4<u32>(row, row + 1u, row + 2u, row + 3u), vec4<u32>(last)) * params.in_features;
  var sum = vec4<f32>(0.0);
  for (var k = lane; k < params.in_features; k += LANES) {
    var low_rank = vec4<f32>(0.0);
    for (var r = 0u; r < params.rank; r++) {
      low_rank += b_rows(row, r) * lora[params.a_at + r * params.in_features + k];
    }
    let w = vec4<f32>(weight_at(tensor, first.x + k, offset), weight_at(tensor, first.y + k, offset),
      weight_at(tensor, first.z + k, offset), weight_at(tensor, first.w + k, offset));
    let v = w + params.scale * low_rank;
    sum += v * v;
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < 4u && row + lane < params.out_features) {
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) { total += sums[i][lane]; }
    norms[params.norm_at + row + lane] = sqrt(total);
  }
}
