// What the attention kernels share. Tokens are one flat run; documents[t] = (first token of t's document, the one after
// its last). A query sees a key of its own document that is not later and, with a window, not further back than that.
// Scores are computed in 32 × 32 tiles by 16 × 16 invocations, each the four at rows (ly, ly + 16), columns
// (lx, lx + 16); heads are read in chunks of 16 dimensions through workgroup memory.
const TILE = 32u;
const CHUNK = 16u;
const STRIDE = 17u; // one more than CHUNK: rows fall into different banks
const CHUNKS = (HEAD_DIM + CHUNK - 1u) / CHUNK;
const MASKED = -1.0e30;

var<workgroup> row_chunk: array<f32, TILE * STRIDE>;
var<workgroup> column_chunk: array<f32, TILE * STRIDE>;
var<workgroup> bounds: vec2<u32>;

fn visible(query: u32, key: u32) -> bool {
  if (query >= step.tokens || key > query || key < documents[query].x) { return false; }
  return params.window == 0u || key + params.window > query;
}

// The invocation's four products of row_chunk and column_chunk rows.
fn dot_chunk(lx: u32, ly: u32) -> vec4<f32> {
  var sum = vec4<f32>(0.0);
  for (var d = 0u; d < CHUNK; d++) {
    let a = vec2<f32>(row_chunk[ly * STRIDE + d], row_chunk[(ly + 16u) * STRIDE + d]);
    let b = vec2<f32>(column_chunk[lx * STRIDE + d], column_chunk[(lx + 16u) * STRIDE + d]);
    sum += vec4<f32>(a.x * b.x, a.x * b.y, a.y * b.x, a.y * b.y);
  }
  return sum;
}
