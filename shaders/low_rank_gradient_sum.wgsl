// gradients[first …] += Σ partials [splits, count]: the end of low_rank_gradient.wgsl when its tokens were split.
#include "common/indexing.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = workgroup_index(group, groups) * 64u + lane;
  if (i >= params.count) { return; }
  var sum = partials[i];
  for (var split = 1u; split < params.splits; split++) { sum += partials[split * params.count + i]; }
  gradients[params.first + i] += sum;
}
