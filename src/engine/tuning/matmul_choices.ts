/** Which tile and split each matmul of a device's plans gets. */
import type { Capabilities } from '../device/capabilities.ts';
import {
  ALL_TILES,
  chooseShape,
  isMatrix,
  type MatmulShape,
  type Precision,
  type Tile,
} from '../kernels/matmul_tile.ts';
import { type KeptChoices, MeasuredChoices, type TunedProblem } from './measured_choices.ts';

export type MatmulOp = 'matmul_nf4' | 'matmul_nf4_dx' | 'matmul_dense' | 'matmul_dense_dx';

/** `rows`: the plan's capacity in tokens, or a chunk's. */
export interface MatmulProblem extends TunedProblem {
  readonly op: MatmulOp;
  /** Columns of the products that are computed side by side. */
  readonly widths: readonly number[];
  readonly depth: number;
  /** What operands may be rounded to. */
  readonly precision: Precision;
}

const TILES: Readonly<Record<string, Tile>> = ALL_TILES;
const tileName = (tile: Tile) => Object.entries(TILES).find(([, known]) => known === tile)?.[0] ?? '';

export class MatmulChoices extends MeasuredChoices<MatmulProblem, MatmulShape> {
  override key({ op, rows, widths, depth, precision }: MatmulProblem): string {
    return `${op} ${rows}×${widths.join('+')}×${depth}${precision === 'f32' ? '' : ` ${precision}`}`;
  }

  protected override byRule({ rows, widths, depth, precision }: MatmulProblem, capabilities: Capabilities) {
    return chooseShape(rows, widths, depth, capabilities, precision);
  }

  protected override fits({ precision }: MatmulProblem, { tile }: MatmulShape): boolean {
    return precision === 'f16' || !isMatrix(tile);
  }

  protected override write({ tile, splits }: MatmulShape): KeptChoices[string] {
    return [tileName(tile), splits];
  }

  protected override read([name, splits]: KeptChoices[string]): MatmulShape | null {
    const tile: Tile | undefined = TILES[name];
    return tile && Number.isInteger(splits) && splits >= 1 ? { tile, splits } : null;
  }
}

/**
 * What `--variant tile=LARGE,splits=2` forces; null when it names no tile.
 *
 * @throws RangeError when there is no such tile.
 */
export function forcedShape({ tile, splits = '1' }: Readonly<Record<string, string>>): MatmulShape | null {
  if (tile === undefined) return null;
  const found: Tile | undefined = TILES[tile];
  if (!found) throw new RangeError(`tile is one of ${Object.keys(TILES).join(', ')}, not ${tile}`);
  return { tile: found, splits: Number(splits) };
}
