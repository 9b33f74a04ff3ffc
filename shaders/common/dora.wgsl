// The linears of a group, outputs side by side, and DoRA's factor magnitude / norm of each output; 1 for a linear without
// an adapter.
struct Output { begin: u32, adapted: u32, magnitude_at: u32, norm_at: u32, bias_at: u32 }

fn output_of(column: u32) -> Output {
  var found: Output;
#for s SEGMENTS
  if (column >= params.begin_{s}) {
    found = Output(params.begin_{s}, params.adapted_{s}, params.magnitude_at_{s}, params.norm_at_{s}, params.bias_at_{s});
  }
#endfor
  return found;
}

fn factor_of(out: Output, column: u32) -> f32 {
  if (out.adapted == 0u) { return 1.0; }
  let i = column - out.begin;
  return lora[out.magnitude_at + i] / norms[out.norm_at + i];
}
