// From dy [T, width]: dz = (magnitude / norm)·dy, the norm taken as a constant, and the magnitudes' gradients += Σ_t dy·z / norm
// (Liu et al. 2024, §4.3). REST: rest = dz − dy as well. A workgroup takes 32 columns, its invocations every 8th token of them; sums in fixed order.
// HALVES: z in 16 bits, two to a word.
#include "common/dora.wgsl"
const COLUMNS = 32u;
const SLICES = 8u;

fn z_element(i: u32) -> f32 {
#if HALVES
  return load_z(i / 2u)[i % 2u];
#else
  return z[i];
#endif
}

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * COLUMNS + lane % COLUMNS;
  let inside = column < params.width;
  let out = output_of(column);
  var sum = 0.0;
  if (inside) {
    let factor = factor_of(out, column);
    for (var token = lane / COLUMNS; token < step.tokens; token += SLICES) {
      let i = token * params.width + column;
      dz[i] = factor * dy[i];
#if REST
      rest[i] = (factor - 1.0) * dy[i];
#endif
      sum += dy[i] * z_element(i);
    }
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < COLUMNS && inside && out.adapted != 0u) {
    for (var slice = 1u; slice < SLICES; slice++) { sum += sums[slice * COLUMNS + lane]; }
    let i = column - out.begin;
    gradients[out.magnitude_at + i] += sum / norms[out.norm_at + i];
  }
}
