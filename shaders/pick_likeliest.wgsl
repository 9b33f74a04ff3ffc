// The likeliest token of each row of logits [T, vocab], the first of equals: to picked [slots, limit] as (id, the logit's
// bits) at the place that counts [slots] says, and into the inputs of the next step: its id, and a position one further. A
// workgroup a row.
const GROUP = 256u;
var<workgroup> tops: array<f32, GROUP>;
var<workgroup> ids_of_tops: array<u32, GROUP>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let token = group.x;
  if (token >= step.tokens) { return; }
  let row = token * params.vocab;
  var top = -3.4e38;
  var id = params.vocab;
  for (var i = lane; i < params.vocab; i += GROUP) {
    let logit = logits[row + i];
    if (logit > top) {
      top = logit;
      id = i;
    }
  }
  tops[lane] = top;
  ids_of_tops[lane] = id;
  workgroupBarrier();
  if (lane > 0u) { return; }
  for (var other = 1u; other < GROUP; other++) {
    let theirs = tops[other];
    if (theirs > top || (theirs == top && ids_of_tops[other] < id)) {
      top = theirs;
      id = ids_of_tops[other];
    }
  }
  let slot = slots[token];
  let count = counts[slot];
  if (count < params.limit) { picked[slot * params.limit + count] = vec2<u32>(id, bitcast<u32>(top)); }
  counts[slot] = count + 1u;
  // A row without a number has no likeliest token: its id is none, and any stands in for the next step.
  ids[token] = min(id, params.vocab - 1u);
  positions[token] += 1u;
}
