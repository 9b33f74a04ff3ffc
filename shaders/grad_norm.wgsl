// The global norm from its partial sums, and the clip coefficient min(1, c / (norm + 1e-6)), as torch's
// clip_grad_norm_; the norm before clipping goes to the log. A norm that is not a number gives −1: no update, so that
// what was trained before stays as it was. One workgroup.
#include "common/reduce.wgsl"

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.partials; i += GROUP) { sum += partials[i]; }
  sum = reduce_sum(sum, lane);
  if (lane == 0u) {
    let norm = sqrt(sum);
    // By its bits: WGSL may assume that there are no NaN and Inf.
    let finite = (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
    clip[0] = select(-1.0, min(1.0, step.max_grad_norm / (norm + 1e-6)), finite);
    log_ring[step.log_slot * LOG_FIELDS + 2u] = norm;
  }
}
