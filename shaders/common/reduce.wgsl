// Sums and maxima over a workgroup of GROUP invocations, in two rounds. All of them must call.
const REDUCERS = 8u; // invocations that each take GROUP / 8 values in the first round
var<workgroup> partial: array<f32, GROUP>;
var<workgroup> partial_of_partials: array<f32, REDUCERS>;

fn reduce_sum(value: f32, lane: u32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  if (lane < REDUCERS) {
    var sum = 0.0;
    for (var i = lane; i < GROUP; i += REDUCERS) { sum += partial[i]; }
    partial_of_partials[lane] = sum;
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < REDUCERS; i++) { sum += partial_of_partials[i]; }
  return sum;
}

fn reduce_max(value: f32, lane: u32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  if (lane < REDUCERS) {
    var largest = partial[lane];
    for (var i = lane + REDUCERS; i < GROUP; i += REDUCERS) { largest = max(largest, partial[i]); }
    partial_of_partials[lane] = largest;
  }
  workgroupBarrier();
  var largest = partial_of_partials[0];
  for (var i = 1u; i < REDUCERS; i++) { largest = max(largest, partial_of_partials[i]); }
  return largest;
}
