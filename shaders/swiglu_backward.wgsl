// activated = silu(gate) · up again, so that it need not be kept for the gradient of the adapter behind it, and
// d gate = dy · up · σ(gate)·(1 + gate·(1 − σ(gate))), d up = dy · silu(gate).
#include "common/indexing.wgsl"
#include "common/activation.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let token = index / params.width;
  if (token >= step.tokens) { return; }
  let at = token * params.width * 2u + index % params.width;
  let gate = gate_up[at];
  let up = gate_up[at + params.width];
  let s = sigmoid(gate);
  activated[index] = gate * s * up;
  d_gate_up[at] = dy[index] * up * s * (1.0 + gate * (1.0 - s));
  d_gate_up[at + params.width] = dy[index] * gate * s;
}
