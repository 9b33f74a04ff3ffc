// y = x·Wᵀ for few rows of x: what reads the weights is what takes time, so each is read once, in long runs, and used for all
// rows. A run is RUN_VECTORS · 4 weights of one output, one read. TEAM invocations share an output's runs, each makes
// PER_TEAM outputs at once, and a workgroup has TEAMS such teams: TEAMS · PER_TEAM outputs. x is staged by as many runs
// as a team takes at a time, turned so that neighbours read neighbours.
// Of the file that includes it: fetch(output, run) → Raw; dot_run(raw, …) through weights_of(raw, v); finish(sum, raw);
// x_vector(row, vector); store(row, output, sum).
const LANES = TEAM * TEAMS;
const RUN_ELEMENTS = RUN_VECTORS * 4u;

var<workgroup> x_tile: array<vec4<f32>, ROWS * RUN_VECTORS * TEAM>;
var<workgroup> sums: array<f32, ROWS * LANES>;

#for r PER_TEAM
#for m ROWS
var<private> acc_{r}_{m}: f32;
#endfor
#endfor

// Runs first … first + TEAM − 1 of every row; zeros beyond the depth, so that what is read of weights there does not count.
fn stage_x(first: u32, lane: u32) {
  for (var v = lane; v < RUN_VECTORS * TEAM; v += LANES) {
    let k = first * RUN_VECTORS + v;
    let at = (v % RUN_VECTORS) * TEAM + v / RUN_VECTORS;
#for m ROWS
    x_tile[{m}u * RUN_VECTORS * TEAM + at] = select(vec4<f32>(0.0), x_vector({m}u, k), k * 4u < params.depth);
#endfor
  }
}

// The sums of this invocation's share of the depth, for outputs first, first + TEAMS, …
fn accumulate_runs(first: u32, lane: u32) {
  let part = lane % TEAM;
  let runs = params.depth / RUN_ELEMENTS;
  for (var run0 = 0u; run0 < runs; run0 += TEAM) {
    let run = min(run0 + part, runs - 1u);
#for r PER_TEAM
    let raw_{r} = fetch(first + {r}u * TEAMS, run);
#endfor
    stage_x(run0, lane);
    workgroupBarrier();
#for r PER_TEAM
#for m ROWS
    var sum_{r}_{m} = 0.0;
#endfor
#endfor
#for v RUN_VECTORS
    {
#for m ROWS
      let x_{m} = x_tile[({m}u * RUN_VECTORS + {v}u) * TEAM + part];
#endfor
#for r PER_TEAM
      {
        let w = weights_of(raw_{r}, {v}u);
#for m ROWS
        sum_{r}_{m} += dot(w, x_{m});
#endfor
      }
#endfor
    }
#endfor
#for r PER_TEAM
    {
      let factor = factor_of(raw_{r}, first + {r}u * TEAMS, run);
#for m ROWS
      acc_{r}_{m} += factor * sum_{r}_{m};
#endfor
    }
#endfor
    workgroupBarrier();
  }
}

// Adds up what the invocations of a team have, in a fixed order, and stores it.
fn store_sums(first_of_group: u32, lane: u32) {
#for r PER_TEAM
#for m ROWS
  sums[{m}u * LANES + lane] = acc_{r}_{m};
#endfor
  workgroupBarrier();
  for (var i = lane; i < TEAMS * ROWS; i += LANES) {
    let team = i % TEAMS;
    let row = i / TEAMS;
    var sum = 0.0;
    for (var part = 0u; part < TEAM; part++) { sum += sums[row * LANES + team * TEAM + part]; }
    if (row < step.tokens) { store(row, first_of_group + {r}u * TEAMS + team, sum); }
  }
  workgroupBarrier();
#endfor
}
