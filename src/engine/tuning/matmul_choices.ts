/** Which tile and split each matmul of a device's plans gets: forced, measured on this very device, or by rule. */
import type { Capabilities } from '../device/capabilities.ts';
import {
  ALL_TILES,
  chooseShape,
  isMatrix,
  type MatmulShape,
  type Precision,
  type Tile,
} from '../kernels/matmul_tile.ts';

export type MatmulOp = 'matmul_nf4' | 'matmul_nf4_dx' | 'matmul_dense' | 'matmul_dense_dx';

/** What decides how fast a shape is. */
export interface MatmulProblem {
  readonly op: MatmulOp;
  /** The plan's capacity in tokens, or a chunk's. */
  readonly rows: number;
  /** Columns of the products that are computed side by side. */
  readonly widths: readonly number[];
  readonly depth: number;
  /** What operands may be rounded to. */
  readonly precision: Precision;
}

export const problemKey = ({ op, rows, widths, depth, precision }: MatmulProblem) =>
  `${op} ${rows}×${widths.join('+')}×${depth}${precision === 'f32' ? '' : ` ${precision}`}`;

/**
 * 64, 96, 128, 192, 256 …: the next of these. How many tokens a batch may have depends on the data; a choice measured
 * for nearly as many holds for it.
 */
export function roundRows(rows: number): number {
  let size = 64;
  while (size < rows) size = size % 3 === 0 ? (size / 3) * 4 : (size / 2) * 3;
  return size;
}

/** A measured choice as it is kept: a tile's name and its splits, by {@link problemKey}. */
export type KeptChoices = Readonly<Record<string, readonly [tile: string, splits: number]>>;

const tileName = (tile: Tile) => Object.entries(ALL_TILES).find(([, known]) => known === tile)?.[0];

export class MatmulChoices {
  readonly #measured = new Map<string, MatmulShape>();
  readonly #asked = new Map<string, MatmulProblem>();
  #forced: MatmulShape | null = null;

  /** Every matmul gets this shape from now on: for tests and benches. */
  force(shape: MatmulShape | null): void {
    this.#forced = shape;
  }

  /** What plans made meanwhile ask for is not measured later. */
  async quietly<T>(use: () => Promise<T>): Promise<T> {
    const before = new Map(this.#asked);
    try {
      return await use();
    } finally {
      this.#asked.clear();
      for (const [key, problem] of before) this.#asked.set(key, problem);
    }
  }

  shape(problem: MatmulProblem, capabilities: Capabilities): MatmulShape {
    const { rows, widths, depth, precision } = problem;
    if (this.#forced && (precision === 'f16' || !isMatrix(this.#forced.tile))) return this.#forced;
    const alike = { ...problem, rows: roundRows(problem.rows) };
    const key = problemKey(alike);
    this.#asked.set(key, alike);
    return this.#measured.get(key) ?? chooseShape(rows, widths, depth, capabilities, precision);
  }

  /** Problems that a plan asked about and nobody has measured. */
  unmeasured(): MatmulProblem[] {
    if (this.#forced) return [];
    return [...this.#asked].filter(([key]) => !this.#measured.has(key)).map(([, problem]) => problem);
  }

  set(problem: MatmulProblem, shape: MatmulShape): void {
    this.#measured.set(problemKey(problem), shape);
  }

  kept(): KeptChoices {
    return Object.fromEntries(
      [...this.#measured].map(([key, { tile, splits }]) => [key, [tileName(tile) ?? '', splits] as const]),
    );
  }

  /** Takes what an earlier visit measured; unknown tiles are left out and measured again. */
  restore(kept: KeptChoices): void {
    for (const [key, [name, splits]] of Object.entries(kept)) {
      const tile: Tile | undefined = (ALL_TILES as Readonly<Record<string, Tile>>)[name];
      if (tile && Number.isInteger(splits) && splits >= 1) this.#measured.set(key, { tile, splits });
    }
  }
}

/**
 * What `--variant tile=LARGE,splits=2` forces; null when it names no tile.
 *
 * @throws RangeError when there is no such tile.
 */
export function forcedShape({ tile, splits = '1' }: Readonly<Record<string, string>>): MatmulShape | null {
  if (tile === undefined) return null;
  const found: Tile | undefined = (ALL_TILES as Readonly<Record<string, Tile>>)[tile];
  if (!found) throw new RangeError(`tile is one of ${Object.keys(ALL_TILES).join(', ')}, not ${tile}`);
  return { tile: found, splits: Number(splits) };
}
