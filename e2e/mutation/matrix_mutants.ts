/** Mutants of the kernels that multiply matrices by subgroups: tested where a device does. */
import { inFile, type Mutant } from './mutant.ts';

const FORWARD = 'matmul_nf4 MATRIX_LARGE 150 of 151, 136+24×224 double rank 20 bias residual columns';
const TURNED = 'matmul_nf4 MATRIX_LARGE 65 of 65, 72+40×160 double transposed rank 8';
const STORED = 'matmul_nf4 MATRIX_LARGE 130 of 130, 136+24×96 rank 16 x and y halves';
const ATTENTION = '261 of 263, 3/1 × 16 window 150 2 documents matrix';
const ATTENTION_STORED = '130 of 130, 4/2 × 64 3 documents matrix halves';
const CAPPED = '100 of 100, 2/2 × 80 matrix capped at 4';
const SPLIT = `attention_backward ${ATTENTION} 3 parts 16 rotated`;

export const matrixMutants: readonly Mutant[] = [
  ...inFile(
    'common/matmul_matrix_tile.wgsl',
    FORWARD,
    ['LOW_RANK_LIFT = 256.0', 'LOW_RANK_LIFT = 1e9'],
    ['k0 < rank; k0 += 16u', 'k0 < rank; k0 += 32u'],
    ['* MAT_M + i / (MAT_N / 4u)', '* MAT_M + i / (MAT_N / 2u)'],
    ['subgroup % SUBGROUPS_N * SUB_N', 'subgroup % SUBGROUPS_N'],
    ['fetch_step(m0, n0, k0 + TILE_K, lane)', 'fetch_step(m0, n0, k0, lane)'],
  ),
  ...inFile('common/matmul_matrix_tile.wgsl', TURNED, [
    'let scale = select(1.0, lift(), TRANSPOSED);',
    'let scale = 1.0;',
  ]),
  ...inFile('common/matmul_matrix_tile.wgsl', STORED, [
    '* A_ROW + own.y / VECTOR] = next_a_{s}_0',
    '* A_ROW] = next_a_{s}_0',
  ]),
  ...inFile('common/matmul_left.wgsl', STORED, ['A_SHIFT = 3u', 'A_SHIFT = 2u']),
  ...inFile(
    'common/matrices.wgsl',
    TURNED,
    ['254u - clamp', '255u - clamp'],
    ['pack2x16float(high.xy)', 'pack2x16float(low.xy)'],
  ),
  ...inFile('common/matrices.wgsl', `attention_backward ${ATTENTION}`, ['254u - clamp', '240u - clamp']),
  ...inFile(
    'common/attention_matrix.wgsl',
    `attention_forward ${ATTENTION}`,
    ['columns <= vec4<u32>(last)', 'columns < vec4<u32>(last)'],
    ['within_f16(qkv[at + 1u])', 'within_f16(qkv[at])'],
    ['tile[2u * {set}u + row / 16u]', 'tile[2u * {set}u]'],
  ),
  ...inFile('common/attention_matrix.wgsl', `attention_forward ${ATTENTION_STORED}`, [
    'head_at, v) / 2u]',
    'head_at, v)]',
  ]),
  ...inFile(
    'common/attention_matrix_gradient.wgsl',
    `attention_backward ${ATTENTION}`,
    ['lift() * d_o[at + 1u]', 'd_o[at + 1u]'],
    ['d_o[at])', 'd_o[at + 1u])'],
  ),
  ...inFile(
    'attention_matrix_forward.wgsl',
    `attention_forward ${ATTENTION}`,
    ['sum * exp(top - higher)', 'sum'],
    ['log(sum + subgroupShuffleXor(sum, 1u))', 'log(sum)'],
    ['halves(exp(low', 'halves(exp(high'],
  ),
  ...inFile(
    'attention_matrix_backward_query.wgsl',
    `attention_backward ${ATTENTION}`,
    ['d_weight - vec4<f32>(row_delta)', 'd_weight'],
    ['lower() * params.scale', 'lower()'],
    ['mine + subgroupShuffleXor(mine, 1u)', 'mine'],
  ),
  ...inFile('attention_matrix_backward_query.wgsl', `attention_backward ${CAPPED}`, [
    'through_cap(gradient, score), visible',
    'gradient, visible',
  ]),
  ...inFile(
    'attention_matrix_backward_key_value.wgsl',
    `attention_backward ${ATTENTION}`,
    ['select(-MASKED, lse[at], query < step.tokens)', 'lse[at]'],
    ['vec4<u32>(key) <= queries', 'vec4<u32>(key) < queries'],
    ['lift() * delta[at]', 'delta[at]'],
    ['head < first_head + heads', 'head < first_head + 1u'],
  ),
  ...inFile('attention_matrix_backward_key_value.wgsl', SPLIT, ['partials[at + HEAD_STEP]', 'partials[at]']),
];
