// o [T, heads · HEAD_DIM] from the partial sums of attention_decode.wgsl: each span's exponentials are relative to its own top
// score (Dao et al. 2023, "Flash-Decoding"). A workgroup a query head of a token.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * params.heads + group.x;
  if (group.y >= step.tokens) { return; }
  let first = row * params.splits * (HEAD_VECTORS + 1u);
  var top = partials[first + HEAD_VECTORS].x;
  for (var s = 1u; s < params.splits; s++) { top = max(top, partials[first + s * (HEAD_VECTORS + 1u) + HEAD_VECTORS].x); }
  var sum = 0.0;
  for (var s = 0u; s < params.splits; s++) {
    let own = partials[first + s * (HEAD_VECTORS + 1u) + HEAD_VECTORS];
    sum += own.y * exp(own.x - top);
  }
  for (var v = lane; v < HEAD_VECTORS; v += 64u) {
    var out = vec4<f32>(0.0);
    for (var s = 0u; s < params.splits; s++) {
      let at = first + s * (HEAD_VECTORS + 1u);
      out += partials[at + v] * exp(partials[at + HEAD_VECTORS].x - top);
    }
#for e 4
    if (4u * v + {e}u < HEAD_DIM) { o[row * HEAD_DIM + 4u * v + {e}u] = out[{e}] / sum; }
#endfor
  }
}
