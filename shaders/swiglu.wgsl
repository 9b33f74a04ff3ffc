// y = f(gate) · up, f SiLU or GELU (Shazeer 2020), gate and up side by side in a row of 2·width, counted in Numbers.
#include "common/indexing.wgsl"
#include "common/activation.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = workgroup_index(group, groups) * 64u + lane;
  let token = index / params.width;
  if (token >= step.tokens) { return; }
  let at = token * params.width * 2u + index % params.width;
  store_y(index, activation(load_gate_up(at)).value * load_gate_up(at + params.width));
}
