/** How shaders/common/matvec.wgsl cuts a product of few rows; what its kernels have in common. */

/** How the work is cut. */
export interface MatvecShape {
  /** Invocations that share an output's depth. */
  readonly team: number;
  /** Outputs that each team makes at once. */
  readonly perTeam: number;
}

/** Teams a workgroup. */
export const TEAMS = 8;
/** Rows of x that these kernels take at most: more of them are a matrix. */
export const MOST_ROWS = 8;
/** Of more rows, x leaves less room in workgroup memory: half as many runs at a time. */
const WIDE_ROWS = 4;
const MOST_TEAM = 16;
const MOST_PER_TEAM = 4;
/** Workgroups that keep a large GPU busy: two for each of some 130 multiprocessors. */
const ENOUGH_WORKGROUPS = 264;

/**
 * As many invocations a team as take the runs of an output in the fewest equal rounds; several outputs at once, which
 * share what is read of x, where enough workgroups are left.
 */
export function chooseMatvecShape(rows: number, width: number, runs: number): MatvecShape {
  const most = rows > WIDE_ROWS ? MOST_TEAM / 2 : MOST_TEAM;
  const team = Math.ceil(runs / Math.ceil(runs / most));
  const wanted = width / (TEAMS * ENOUGH_WORKGROUPS);
  return { team, perTeam: wanted >= MOST_PER_TEAM ? MOST_PER_TEAM : wanted >= 2 ? 2 : 1 };
}

/** @param runVectors vectors of four in what is read of the weights at a time */
export function matvecConstants(rows: number, { team, perTeam }: MatvecShape, runVectors: number) {
  return { ROWS: rows, TEAM: team, TEAMS, PER_TEAM: perTeam, RUN_VECTORS: runVectors };
}
