// Who sees whom. Tokens are one flat run; documents[t] = (first token of t's document, the one after its last). A query
// sees a key of its own document that is not later and, with a window, not further back than that. Documents neither
// begin nor end earlier the later the token, so a tile's first and last token decide for all of it.
const MASKED = -1.0e30;

// The first key that a query sees; the last is the query itself.
fn first_key(query: u32) -> u32 {
  let token = min(query, step.tokens - 1u);
  let begin = documents[token].x;
  if (params.window > 0u && token + 1u > params.window) { return max(begin, token + 1u - params.window); }
  return begin;
}

// One after the last query that sees a key.
fn end_query(key: u32) -> u32 {
  let token = min(key, step.tokens - 1u);
  let end = documents[token].y;
  if (params.window > 0u) { return min(end, token + params.window); }
  return end;
}

// Whether each of the queries sees each of the keys: such a tile needs no mask.
fn all_visible(q0: u32, queries: u32, k0: u32, keys: u32) -> bool {
  return k0 + keys <= q0 + 1u && first_key(q0 + queries - 1u) <= k0;
}
