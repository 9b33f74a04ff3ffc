// The narrow side of LoRA: u = s·x·Mᵀ, tokens by ranks. Forward M is A [rank, depth]; TRANSPOSED takes M = Bᵀ from B
// [depth, rank], the gradient of u. SEGMENTS products side by side, each from its own columns of x, with its own s and M in
// `lora`, to its own columns of u [T, u_stride].
// A workgroup makes 16 tokens × 16 ranks: an invocation 4 × 4 of them over its share of every step's depth (SLICES
// shares), summed at the end: outputs are too few to fill a GPU otherwise. The next step is read while one is multiplied, and what
// is done to a value waits for it, so reading is apart from staging.
// ALIGNED: strides, offsets and depths are whole groups of four, and x is bound as vectors. STRENGTH: each token's u has a
// factor of its own, strength [T].
const STEP_DEPTH = 64u;
const SLICES = 8u;
const ROUNDS = 8u; // STEP_DEPTH / SLICES
const WIDTH = 4u; // vectors of tokens, and of ranks
const BLOCKS = WIDTH * (STEP_DEPTH / 4u);

struct Segment { x_at: u32, depth: u32, lora_at: u32, u_at: u32, rank: u32, tile: u32, scale: f32 }

// By a step's row of shares, share, and vector: indices that are written out are not checked.
var<workgroup> x_tile: array<array<array<vec4<f32>, WIDTH>, SLICES>, ROUNDS>;
var<workgroup> m_tile: array<array<array<vec4<f32>, WIDTH>, SLICES>, ROUNDS>;
var<workgroup> sums: array<vec4<f32>, 16u * SLICES>;

var<private> segment: Segment;
#for r 4
var<private> next_{r}: vec4<f32>;
#endfor

// Outside the operands the last elements are read; beyond the depth M counts as zero.
fn x_vector(token: u32, k: u32) -> vec4<f32> {
  let at = min(token, step.tokens - 1u) * params.x_stride + segment.x_at;
#if ALIGNED
  return x[(at + min(k, segment.depth - 4u)) >> 2u];
#else
  let last = segment.depth - 1u;
  return vec4<f32>(x[at + min(k, last)], x[at + min(k + 1u, last)], x[at + min(k + 2u, last)], x[at + min(k + 3u, last)]);
#endif
}

fn m_element(j: u32, k: u32) -> f32 {
  let row = min(j, segment.rank - 1u);
  let column = min(k, segment.depth - 1u);
#if TRANSPOSED
  return lora[segment.lora_at + column * segment.rank + row];
#else
  return lora[segment.lora_at + row * segment.depth + column];
#endif
}

// Half of the invocations read a 4 × 4 block of x, the others one of M.
fn fetch_step(token: u32, j0: u32, k0: u32, lane: u32) {
  let block = lane % BLOCKS;
  let k = k0 + (block / WIDTH) * 4u;
  if (lane < BLOCKS) {
    let t = token + (block % WIDTH) * 4u;
#for r 4
    next_{r} = x_vector(t + {r}u, k);
#endfor
  } else {
    let j = j0 + (block % WIDTH) * 4u;
#for r 4
#if TRANSPOSED
    next_{r} = vec4<f32>(m_element(j, k + {r}u), m_element(j + 1u, k + {r}u), m_element(j + 2u, k + {r}u), m_element(j + 3u, k + {r}u));
#else
    next_{r} = vec4<f32>(m_element(j + {r}u, k), m_element(j + {r}u, k + 1u), m_element(j + {r}u, k + 2u), m_element(j + {r}u, k + 3u));
#endif
#endfor
  }
}

// The step at k0, which was fetched, to workgroup memory.
fn stage_step(k0: u32, lane: u32) {
  let block = lane % BLOCKS;
  let own = (block / WIDTH) * 4u;
  let k = k0 + own;
  if (lane < BLOCKS) {
#for r 4
    x_tile[(own + {r}u) / SLICES][(own + {r}u) % SLICES][block % WIDTH] = vec4<f32>(next_0[{r}], next_1[{r}], next_2[{r}], next_3[{r}]);
#endfor
  } else {
#for r 4
#if TRANSPOSED
    let v{r} = next_{r};
#else
    let v{r} = vec4<f32>(next_0[{r}], next_1[{r}], next_2[{r}], next_3[{r}]);
#endif
    m_tile[(own + {r}u) / SLICES][(own + {r}u) % SLICES][block % WIDTH] = select(vec4<f32>(0.0), v{r}, k + {r}u < segment.depth);
#endfor
  }
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // Found in a variable of the function's own: the compiler must see that all invocations agree on it.
  var found: Segment;
#for s SEGMENTS
  if (group.y >= params.tile_{s}) {
    found = Segment(params.x_at_{s}, params.depth_{s}, params.lora_at_{s}, params.u_at_{s}, params.rank_{s}, params.tile_{s}, params.scale_{s});
  }
#endfor
  segment = found;
  let token = group.x * 16u;
  let j0 = (group.y - found.tile) * 16u;
  let slice = lane / 16u;
  let tx = lane % WIDTH;
  let ty = (lane % 16u) / WIDTH;
#for c 4
  var acc_{c} = vec4<f32>(0.0);
#endfor
  fetch_step(token, j0, 0u, lane);
  for (var k0 = 0u; k0 < found.depth; k0 += STEP_DEPTH) {
    stage_step(k0, lane);
    workgroupBarrier();
    fetch_step(token, j0, k0 + STEP_DEPTH, lane);
#for i 8
    {
      let a = x_tile[{i}][slice][ty];
      let b = m_tile[{i}][slice][tx];
#for c 4
      acc_{c} += a[{c}] * b;
#endfor
    }
#endfor
    workgroupBarrier();
  }
#for c 4
  sums[lane] = acc_{c};
  workgroupBarrier();
  if (slice == 0u) {
    let t = token + ty * 4u + {c}u;
    var sum = acc_{c};
    for (var other = 1u; other < SLICES; other++) { sum += sums[other * 16u + lane]; }
    if (t < step.tokens) {
      for (var e = 0u; e < 4u; e++) {
        let j = j0 + tx * 4u + e;
#if STRENGTH
        let factor = segment.scale * strength[t];
#else
        let factor = segment.scale;
#endif
        if (j < segment.rank) { u[t * params.u_stride + segment.u_at + j] = factor * sum[e]; }
      }
    }
  }
  workgroupBarrier();
#endfor
}
