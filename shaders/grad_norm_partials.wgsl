// Sums of squares over SPAN gradients a workgroup: the first half of the global norm.
#include "common/indexing.wgsl"
#include "common/reduce.wgsl"

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let span = workgroup_index(group, groups);
  if (span * SPAN >= params.elements) { return; }
  let end = min((span + 1u) * SPAN, params.elements);
  var squares = 0.0;
  for (var i = span * SPAN + lane; i < end; i += GROUP) { squares += gradients[i] * gradients[i]; }
  let sum = reduce_sum(squares, lane);
  if (lane == 0u) { partials[params.first_partial + span] = sum; }
}
