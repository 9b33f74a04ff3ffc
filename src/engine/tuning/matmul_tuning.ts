/** Which tiles and splits of a matmul are worth measuring, and the matmul to measure them with. */
import { matmulDense } from '../kernels/matmul_dense.ts';
import { type LinearGroup, matmulNf4 } from '../kernels/matmul_nf4.ts';
import {
  ALL_TILES,
  isMatrix,
  type MatmulShape,
  SOFTWARE,
  TABLE_BYTES,
  type Tile,
  tileBytes,
} from '../kernels/matmul_tile.ts';
import type { Tensor } from '../plan/tensor.ts';
import type { MatmulProblem } from './matmul_choices.ts';
import type { Tuning } from './tuning.ts';

const widthOf = ({ widths }: MatmulProblem) => widths.reduce((sum, width) => sum + width, 0);
const weightBytes = (problem: MatmulProblem) =>
  // Half a byte a weight and its scales, or two bytes.
  problem.depth * widthOf(problem) * (problem.op.startsWith('matmul_nf4') ? 0.75 : 2) + 8192;

/** Shapes worth measuring: those that waste little and fill a GPU of any size in one to some rounds. */
export function candidates(problem: MatmulProblem, storageBytes: number): MatmulShape[] {
  const { op, rows, widths, depth, precision } = problem;
  const alongK = !op.endsWith('dx');
  const shapes: MatmulShape[] = [];
  for (const tile of Object.values<Tile>(ALL_TILES)) {
    if (tile === SOFTWARE || isMatrix(tile) !== (precision === 'f16')) continue;
    // Blocks that hasMatrices has asked the device for.
    if (isMatrix(tile) && tile.MAT_N !== 16) continue;
    if (tileBytes(tile, alongK) + TABLE_BYTES > storageBytes) continue;
    const tiles = Math.ceil(rows / tile.TILE_M) * widths.reduce((sum, w) => sum + Math.ceil(w / tile.TILE_N), 0);
    if ((tiles * tile.TILE_M * tile.TILE_N) / (rows * widthOf(problem)) > 1.34) continue;
    for (const splits of [1, 2, 3, 4, 6, 8, 12, 16]) {
      const workgroups = tiles * splits;
      if (splits > 1 && (depth / splits < 128 || workgroups > 1600)) continue;
      if (workgroups >= 48 || splits === 1) shapes.push({ tile, splits });
    }
  }
  return shapes;
}

/** Linears of a slab of zeros, laid out as a layer's. */
function blankGroup(slab: Tensor, outputs: readonly number[], inFeatures: number): LinearGroup {
  let codesAt = 512;
  const linears = outputs.map((outFeatures) => {
    const linear = { codesAt, absmaxAt: 512, nestedAt: 512, biasAt: null, inFeatures, outFeatures };
    codesAt += Math.ceil((inFeatures * outFeatures) / 8);
    return linear;
  });
  const outFeatures = outputs.reduce((sum, width) => sum + width, 0);
  return { slab, doubleQuant: true, floats: null, linears, inFeatures, outFeatures };
}

export const matmulTuning: Tuning<MatmulProblem, MatmulShape> = {
  choices: (gpu) => gpu.matmulChoices,
  cost: (problem) => problem.rows * problem.depth * widthOf(problem),
  scratchBytes: (problem) => problem.rows * (problem.depth + 4 * widthOf(problem)) * 4 + weightBytes(problem),
  candidates: (problem, { capabilities }) => candidates(problem, capabilities.workgroupStorageBytes),
  record(plan, problem, shape, scratch) {
    const { op, rows, widths, depth } = problem;
    const width = widthOf(problem);
    const x = { tensor: scratch.tensor('x', rows * depth * 4), stride: depth, at: 0 };
    const y = { tensor: scratch.tensor('y', rows * width * 4), stride: width, at: 0 };
    const weight = scratch.tensor('weight', weightBytes(problem));
    const transposed = op.endsWith('dx');
    if (op.startsWith('matmul_nf4')) {
      const group = transposed ? blankGroup(weight, [depth], width) : blankGroup(weight, widths, depth);
      matmulNf4(plan, { x, y, group, transposed, shape });
    } else {
      matmulDense(plan, { x, y, weight, dtype: 'BF16', depth, width, transposed, shape });
    }
  },
};
