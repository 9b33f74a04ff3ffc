// The narrow side of LoRA: u = s·x·Mᵀ, tokens by ranks. Forward M is A [rank, depth]; TRANSPOSED takes M = Bᵀ from B
// [depth, rank], the gradient of u. SEGMENTS products side by side, each from its own columns of x, with its own s and M in
// `lora`, to its own columns of u [T, u_stride].
// A workgroup makes 4·ROWS tokens × 16 ranks: an invocation 4 × 4 of them over its share of the depth (SLICES shares),
// summed at the end: outputs are too few to fill a GPU otherwise. Operands come straight from memory, where neighbours
// read the same or adjacent vectors: there is too little to multiply for staging and its barriers to pay. UNROLL vectors
// of the depth are on their way at once.
// ALIGNED: strides, offsets and depths are whole groups of four, and x is bound as vectors; LORA_VECTORS: M's rows too,
// TRANSPOSED its ranks. STRENGTH: each token's u has a factor of its own, strength [T].
const THREADS = 256u;
const WIDTH = 4u; // vectors of ranks
const SLICES = THREADS / (WIDTH * ROWS);
const STRIDE = 4u * SLICES; // depth that the slices take at a time
const OUTPUTS = 4u * ROWS * WIDTH; // vectors of ranks that the workgroup makes
const ADDERS = THREADS / OUTPUTS; // invocations that sum one

struct Segment { x_at: u32, depth: u32, lora_at: u32, u_at: u32, rank: u32, tile: u32, scale: f32 }

// By slice and output.
var<workgroup> sums: array<vec4<f32>, SLICES * OUTPUTS>;

var<private> segment: Segment;

// Outside the operands the last elements are read; beyond the depth M counts as zero.
fn x_vector(row: u32, k: u32) -> vec4<f32> {
#if ALIGNED
  return load_x((row + min(k, segment.depth - 4u)) >> 2u);
#else
  let last = segment.depth - 1u;
  return vec4<f32>(x[row + min(k, last)], x[row + min(k + 1u, last)], x[row + min(k + 2u, last)], x[row + min(k + 3u, last)]);
#endif
}

// Where k and the ranks from j on lie in M.
fn m_index(j: u32, k: u32) -> u32 {
#if TRANSPOSED
  return segment.lora_at + k * segment.rank + j;
#else
  return segment.lora_at + j * segment.depth + k;
#endif
}

#if TRANSPOSED
// Ranks j … j+3 at k.
fn m_vector(j: u32, k: u32) -> vec4<f32> {
  let row = min(k, segment.depth - 1u);
#if LORA_VECTORS
  let value = lora[m_index(min(j, segment.rank - 4u), row) >> 2u];
#else
  let last = segment.rank - 1u;
  let value = vec4<f32>(lora[m_index(min(j, last), row)], lora[m_index(min(j + 1u, last), row)],
    lora[m_index(min(j + 2u, last), row)], lora[m_index(min(j + 3u, last), row)]);
#endif
  return select(vec4<f32>(0.0), value, k < segment.depth);
}
#else
// k … k+3 of rank j.
fn m_vector(j: u32, k: u32) -> vec4<f32> {
  let row = min(j, segment.rank - 1u);
#if LORA_VECTORS
  return select(vec4<f32>(0.0), lora[m_index(row, min(k, segment.depth - 4u)) >> 2u], k < segment.depth);
#else
  let last = segment.depth - 1u;
  let value = vec4<f32>(lora[m_index(row, min(k, last))], lora[m_index(row, min(k + 1u, last))],
    lora[m_index(row, min(k + 2u, last))], lora[m_index(row, min(k + 3u, last))]);
  return select(vec4<f32>(0.0), value, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(segment.depth));
#endif
}
#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // Found in a variable of the function's own: the compiler must see that all invocations agree on it.
  var found: Segment;
#for s SEGMENTS
  if (group.y >= params.tile_{s}) {
    found = Segment(params.x_at_{s}, params.depth_{s}, params.lora_at_{s}, params.u_at_{s}, params.rank_{s}, params.tile_{s}, params.scale_{s});
  }
#endfor
  segment = found;
  let token = group.x * 4u * ROWS;
  let j0 = (group.y - found.tile) * 16u;
  let tx = lane % WIDTH;
  let ty = lane / WIDTH % ROWS;
  let slice = lane / (WIDTH * ROWS);
  let j = j0 + 4u * tx;
#for c 4
  let row_{c} = min(token + 4u * ty + {c}u, step.tokens - 1u) * params.x_stride + found.x_at;
  var acc_{c} = vec4<f32>(0.0);
#endfor
  for (var k0 = 4u * slice; k0 < found.depth; k0 += UNROLL * STRIDE) {
#for i UNROLL
#for c 4
    let x_{i}_{c} = x_vector(row_{c}, k0 + {i}u * STRIDE);
#if TRANSPOSED
    let m_{i}_{c} = m_vector(j, k0 + {i}u * STRIDE + {c}u);
#else
    let m_{i}_{c} = m_vector(j + {c}u, k0 + {i}u * STRIDE);
#endif
#endfor
#endfor
#for i UNROLL
#for c 4
#if TRANSPOSED
    acc_{c} += x_{i}_{c}.x * m_{i}_0 + x_{i}_{c}.y * m_{i}_1 + x_{i}_{c}.z * m_{i}_2 + x_{i}_{c}.w * m_{i}_3;
#else
    acc_{c} += vec4<f32>(dot(x_{i}_{c}, m_{i}_0), dot(x_{i}_{c}, m_{i}_1), dot(x_{i}_{c}, m_{i}_2), dot(x_{i}_{c}, m_{i}_3));
#endif
#endfor
#endfor
  }
#for c 4
  sums[slice * OUTPUTS + (4u * ty + {c}u) * WIDTH + tx] = acc_{c};
#endfor
  workgroupBarrier();
  var sum = vec4<f32>(0.0);
  for (var other = lane / OUTPUTS; other < SLICES; other += ADDERS) { sum += sums[other * OUTPUTS + lane % OUTPUTS]; }
  workgroupBarrier();
  sums[lane] = sum;
  workgroupBarrier();
  if (lane >= OUTPUTS) { return; }
  for (var other = 1u; other < ADDERS; other++) { sum += sums[other * OUTPUTS + lane]; }
  let t = token + lane / WIDTH;
  if (t >= step.tokens) { return; }
#if STRENGTH
  let factor = found.scale * strength[t];
#else
  let factor = found.scale;
#endif
  for (var e = 0u; e < 4u; e++) {
    let rank = j0 + lane % WIDTH * 4u + e;
    if (rank < found.rank) { u[t * params.u_stride + found.u_at + rank] = factor * sum[e]; }
  }
}
