// For the kernels whose rows are queries and whose columns are keys: forward, and the gradient of queries.

// Masks what a query does not see.
fn mask_scores(q0: u32, k0: u32, lane: u32) {
#for i RM
#for c 4
  {
    let query = q0 + 4u * (lane / TX + {i}u * TY) + {c}u;
    let first = vec4<u32>(first_key(query));
#for j RN
    let keys_{j} = vec4<u32>(k0 + 4u * (lane % TX + {j}u * TX)) + vec4<u32>(0u, 1u, 2u, 3u);
    score_0_{i}_{c}_{j} = select(vec4<f32>(MASKED), score_0_{i}_{c}_{j}, (keys_{j} >= first) & (keys_{j} <= vec4<u32>(query)));
#endfor
  }
#endfor
#endfor
}

// The first key that any of a tile's queries sees, and one after the last.
fn key_range(q0: u32, lane: u32) -> vec2<u32> {
  return agreed_bounds(vec2<u32>(first_key(q0), min(q0 + ROWS, step.tokens)), lane);
}
