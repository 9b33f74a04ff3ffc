// Adds this micro-batch's losses and hits to the step's line in the log ring. One workgroup.
#include "common/reduce.wgsl"

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  var nll = 0.0;
  var hits = 0.0;
  for (var t = lane; t < step.tokens; t += GROUP) {
    nll += loss[t * 2u];
    hits += loss[t * 2u + 1u];
  }
  nll = reduce_sum(nll, lane);
  hits = reduce_sum(hits, lane);
  if (lane == 0u) {
    let at = step.log_slot * LOG_FIELDS;
    if (step.micro_batch == 0u) {
      log_ring[at] = nll;
      log_ring[at + 1u] = hits;
    } else {
      log_ring[at] += nll;
      log_ring[at + 1u] += hits;
    }
  }
}
