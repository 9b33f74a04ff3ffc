// activated = f(gate) · up again, so that it need not be kept for the gradient of the adapter behind it, and
// d gate = dy · up · f′(gate), d up = dy · f(gate). Rows are counted in Numbers.
#include "common/indexing.wgsl"
#include "common/activation.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let token = index / params.width;
  if (token >= step.tokens) { return; }
  let at = token * params.width * 2u + index % params.width;
  let gate = activation(load_gate_up(at));
  let up = load_gate_up(at + params.width);
  store_activated(index, gate.value * up);
  d_gate_up[at] = dy[index] * up * gate.slope;
  d_gate_up[at + params.width] = dy[index] * gate.value;
}
