/**
 * For every WGSL file, changes of one operator or index that a reader could overlook, and the kernel case that notices
 * each. A file without mutants fails the test, so a new kernel comes with its own.
 */

import { matrixMutants } from './matrix_mutants.ts';
import { inFile, type Mutant } from './mutant.ts';

const ATTENTION = '130 of 131, 6/2 × 8 window 33 3 documents';
const ATTENTION_ODD = '35 of 36, 4/2 × 10 2 documents';
const ATTENTION_WIDE = '261 of 263, 3/1 × 16 window 150 2 documents WIDE prefetch';
const ATTENTION_SPLIT = 'attention_backward 261 of 263, 3/1 × 8 window 150 2 documents 3 parts 4 rotated';
const ATTENTION_CAPPED = '65 of 65, 2/1 × 16 window 30 2 documents capped at 4';
const HEADS = '7 of 9, 4/2 × 24';
const RMS_NORM = 'rms_norm 7 of 7 × 33 of size 0.001';
const CROSS_ENTROPY = 'cross_entropy 63 of 70 × 33, ±5 gradient';
const CROSS_ENTROPY_VECTORS = 'cross_entropy 63 of 70 × 36, ±5 gradient';
const GRAD_NORM = 'grad_norm of 4095 + 4096 + 4097, at most 0.3';
const ADAMW = 'adamw 1000, step 7, clip 0.3, decay 0.1, gradients of 1';
const ADAMW_TINY = 'adamw 65, step 3, clip 1, decay 0, gradients of 1e-8, from zero';
const DOUBLE = 'double_quantize 255 uniform';
const ROPE = 'rope 7 of 7 × 4+1 heads of 16, 16 rotated, inverse';
const RECIPROCAL = 'exact_reciprocal of 200,000 values';
const QUOTIENT = 'exact_quotient of 20,000 sums';
const INT8_ROWS = 'embedding I8 65 of 70 × 33 two shards';
const INT8_VECTORS = 'matmul_dense SOFTWARE I8 33 of 40 × 40 → 68';
const TWO_SHARDS = 'embedding BF16 7 of 7 × 63 × 25.25 two shards';
const EVERY_HALF = 'embedding F16 every finite value';
const FOLDED = 'embedding F32 65600 of 65600 × 1';
const NF4 = 'matmul_nf4 SOFTWARE 7 of 7, 36×100 double bias';
const NF4_LORA = 'matmul_nf4 SOFTWARE 63 of 63, 132×132 rank 8 residual';
const NF4_COLUMNS = 'matmul_nf4 SOFTWARE 33 of 40, 40×64 bias columns';
const NF4_GROUP = 'matmul_nf4 SOFTWARE 70 of 72, 64+100+4×68 rank 8 on 0 and 2';
const NF4_BIAS = 'matmul_nf4 SOFTWARE 37 of 37, 76+28×72 bias';
const NF4_RESIDUAL = 'matmul_nf4 SOFTWARE 21 of 25, 72+36×68 residual';
const NF4_TURNED = 'matmul_nf4 SOFTWARE 33 of 33, 48+20×72 double transposed rank 8 on 1';
const NF4_SPLIT = 'matmul_nf4 SOFTWARE 35 of 36, 64+20×200 double rank 8 bias residual split 3 columns';
const NF4_ODD = 'matmul_nf4 SOFTWARE 19 of 19, 70+33×65 residual';
const NF4_ODD_LORA = 'matmul_nf4 SOFTWARE 63 of 65, 33+9×63 double rank 5';
const NF4_ODD_TURNED = 'matmul_nf4 SOFTWARE 65 of 65, 63×130 transposed rank 20 residual';
const NF4_PREFETCH = 'matmul_nf4 SMALL 65 of 65, 68+20×36 double rank 3 bias';
const FLOATS = 'matmul_nf4 SOFTWARE 7 of 7, 68×36 0 in BF16';
const FLOATS_WIDE = 'matmul_nf4 SOFTWARE 21 of 21, 24+12×44 1 in F32 bias';
const FLOATS_MIXED = 'matmul_nf4 SOFTWARE 33 of 33, 40+36+20×68 double 1 in BF16 transposed rank 8 on 1';
const FLOATS_ODD = 'matmul_nf4 SOFTWARE 19 of 19, 33+7×65 0 in F16 rank 5 bias residual';
const REDUCE = `${NF4_BIAS} split 3`;
const REDUCE_ODD = 'matmul_nf4 SOFTWARE 13 of 13, 17+5+6×131 bias residual split 2';
const DENSE = 'matmul_dense SOFTWARE F32 7 of 7 × 65 → 33 columns';
const DENSE_TURNED = 'matmul_dense SOFTWARE F16 63 of 63 × 33 → 63 transposed';
const DENSE_VECTORS = 'matmul_dense SOFTWARE F32 33 of 33 × 68 → 20 transposed';
const DENSE_HALF = 'matmul_dense SOFTWARE F16 65 of 70 × 40 → 40 rows 0 + 20';
const DENSE_CHUNK = 'matmul_dense SOFTWARE BF16 65 of 65 × 40 → 37 transposed rows 60 + 20';
const DENSE_SPLIT = 'matmul_dense SOFTWARE F16 65 of 65 × 131 → 17 split 2 rows 60 + 20';
const DENSE_SPLIT_SUM = 'matmul_dense SOFTWARE BF16 40 of 42 × 200 → 36 transposed accumulated split 3';
const DENSE_PREFETCH = 'matmul_dense SMALL F32 33 of 33 × 68 → 20 transposed accumulated';
const LOW_RANK = 'low_rank 65 of 65, 64+20+20×100 rank 16 columns';
const LOW_RANK_ODD = 'low_rank 7 of 9, 33×65 rank 3';
const LOW_RANK_TURNED = 'low_rank_dx 100 of 101, 40+36+68×64 rank 8 not on 1';
const LOW_RANK_ROWS = 'low_rank 4 rows 37 of 37, 132+44×300 rank 12 adapter at 4';
const LOW_RANK_WHOLE = 'low_rank 33 of 33, 260+68×452 rank 20 adapter at 8';
const LOW_RANK_TURNED_WHOLE = 'low_rank_dx 33 of 33, 260+68×452 rank 20 adapter at 8';
const LOW_RANK_SUM = 'low_rank_gradient 65 of 65, 64+20+20×100 rank 16 columns';
const LOW_RANK_SUM_ODD = 'low_rank_gradient 7 of 9, 33×65 rank 3';
const LOW_RANK_SPLIT = 'low_rank_gradient split 3 150 of 160, 33+9×65 rank 3';

const MATVEC = 'matvec_nf4 2 of 3, 40+9×576 double rank 5+16 bias';
const MATVEC_BARE = 'matvec_nf4 3 of 3, 17+20+7×608 rank 4+0+3 residual';
const MATVEC_MANY = 'matvec_nf4 7 of 8, 70×320 double rank 20 5×4';
const MATVEC_FLOATS = 'matvec_nf4 3 of 4, 17+40+9×160 double 0 and 2 in BF16 rank 4+5+0 residual';
const MATVEC_FLOATS_WIDE = 'matvec_nf4 2 of 2, 20+33×128 double 1 in F32';
const MATVEC_DENSE = 'matvec_dense BF16 3 of 3 × 136 → 63 columns';
const MATVEC_DENSE_AT = 'matvec_dense F16 7 of 8 × 72 → 65 from 8 3×4';
const KV_STORE = 'kv_store 7 of 9, 4/2 × 10, 3 of 5';
const DECODE = 'attention_decode 63, 65 of 2 × 70, 6/2 × 16 window 33 capped at 4';
const DECODE_SPLIT = 'attention_decode 130, 20, 65 of 3 × 140, 4/4 × 8 window 30 span 32';
const PICK = 'pick_likeliest 3 of 5 × 1000, ties';

export const mutants: readonly Mutant[] = [
  ...inFile(
    'attention_decode.wgsl',
    DECODE,
    ['position + 1u - params.window', 'position - params.window'],
    ['head / params.group', 'head'],
    ['key >= first', 'key > first'],
    ['params.scale * ((', '(('],
    ['out[{e}] / sum', 'out[{e}]'],
    ['part < PARTS; part++', 'part < PARTS - 1u; part++'],
    ['query[v] * keys', 'query[0] * keys'],
  ),
  ...inFile(
    'attention_decode.wgsl',
    DECODE_SPLIT,
    ['vec4<f32>(top, sum, 0.0, 0.0)', 'vec4<f32>(top, 1.0, 0.0, 0.0)'],
    ['position + 1u, begin + SPAN', 'position, begin + SPAN'],
    ['exp(weights[j] - top)', 'exp(weights[j])'],
  ),
  ...inFile(
    'attention_decode_sum.wgsl',
    DECODE_SPLIT,
    ['own.y * exp(own.x - top)', 'own.y'],
    ['exp(partials[at + HEAD_VECTORS].x - top)', '1.0'],
    ['out[{e}] / sum', 'out[{e}]'],
    ['row * params.splits', 'row'],
  ),
  ...inFile(
    'kv_store.wgsl',
    KV_STORE,
    ['position >= params.context', 'position > params.context + 1u'],
    ['row_at + params.v_at', 'row_at + params.k_at'],
    ['slots[token] * params.kv_heads + head', 'slots[token] * params.kv_heads'],
    ['4u * v + {e}u < HEAD_DIM', '4u * v + {e}u < HEAD_DIM - 1u'],
    ['* HEAD_VECTORS + v) * params.context', '* HEAD_VECTORS) * params.context'],
  ),
  ...inFile(
    'common/matvec.wgsl',
    MATVEC,
    ['run0 += TEAM', 'run0 += TEAM + 1u'],
    ['part < TEAM; part++', 'part < TEAM - 1u; part++'],
    ['v / RUN_VECTORS;', 'v / TEAM;'],
    ['factor * sum_{r}_{m}', 'sum_{r}_{m}'],
  ),
  ...inFile('common/matvec.wgsl', MATVEC_BARE, ['k * 4u < params.depth', 'k * 4u <= params.depth']),
  ...inFile('common/matvec.wgsl', MATVEC_MANY, ['first_of_group + {r}u * TEAMS + team', 'first_of_group + team']),
  ...inFile(
    'matvec_nf4.wgsl',
    MATVEC,
    ['segment.scale * strength', 'strength'],
    ['segment.u_at + j', 'j'],
    ['row * params.y_stride + column] = sum', 'row * params.y_stride + output] = sum'],
    ['segment.bias_at + output', 'segment.bias_at'],
    ['segment.rank + j]', 'segment.rank]'],
  ),
  ...inFile('matvec_nf4.wgsl', MATVEC_BARE, ['sum += residual', 'sum -= residual'], ['tile = group.x - ', 'tile = ']),
  ...inFile(
    'matvec_dense.wgsl',
    MATVEC_DENSE,
    ['raw[2u * v + 1u]', 'raw[2u * v]'],
    ['params.y_at + output', 'output'],
    ['output < params.width) {', 'output <= params.width) {'],
  ),
  ...inFile('matvec_dense.wgsl', MATVEC_DENSE_AT, ['(params.weight_at + min', '(min']),
  ...inFile(
    'pick_likeliest.wgsl',
    PICK,
    ['theirs == top && ids_of_tops[other] < id', 'theirs == top'],
    ['counts[slot] = count + 1u', 'counts[slot] = count'],
    ['positions[token] += 1u', 'positions[token] += 2u'],
    ['count < params.limit', 'count <= params.limit'],
    ['slot * params.limit + count', 'slot * params.limit'],
    ['theirs > top', 'theirs < top'],
  ),
  ...inFile('low_rank.wgsl', 'low_rank 20 of 22, 33+9×68 rank 3+5 strengths', [
    'found.scale * strength[t]',
    'segment.scale',
  ]),
  ...inFile(
    'dora_forward.wgsl',
    'dora_forward 7 of 7, 20+9×64 rank 4+0 bias strengths',
    ['mix(Number(1.0), factor, strength', 'mix(Number(0.0), factor, strength'],
    ['index / params.width]', '0]'],
  ),
  ...inFile(
    'absmax_mean.wgsl',
    DOUBLE,
    ['shift < 32u', 'shift < 1u'],
    ['i32(exponent) - 158', 'i32(exponent) - 157'],
    ['select(0u, 1u, low < a.y)', 'select(1u, 0u, low < a.y)'],
  ),
  ...inFile(
    'absmax_quantize.wgsl',
    DOUBLE,
    ['absmax[i] - nested[0]', 'absmax[i] + nested[0]'],
    ['nested[1u + block] = largest', 'nested[block] = largest'],
    ['codes[at + 1u] << 8u', 'codes[at + 1u] << 9u'],
  ),
  ...inFile('absmax_quantize.wgsl', 'double_quantize 4096 on thresholds', ['x > thresholds', 'x >= thresholds']),
  ...inFile(
    'adamw.wgsl',
    ADAMW,
    ['step.one_minus_beta2 * g * g', 'step.one_minus_beta2 * g'],
    ['gradients[i] * clip[0]', 'gradients[i]'],
  ),
  ...inFile('common/adamw.wgsl', ADAMW, ['decay - step_size', 'decay + step_size']),
  ...inFile(
    'adamw.wgsl',
    'adamw 1000, step 5, clip 0.7, decay 0.1, gradients of 1, pages of 256 from 0',
    ['i / PAGE * 2u', 'i / PAGE'],
    ['+ i % PAGE', '+ i'],
  ),
  ...inFile(
    'common/adamw.wgsl',
    'adamw 700, step 3, clip 1, decay 0.2, gradients of 1, borders 0 100 600 601 1000 1300, pages of 512 from 512',
    ['params.first + i', 'i'],
  ),
  ...inFile(
    'adamw_8bit.wgsl',
    'adamw in 8 bits 4096, pages of 1024, step 40, clip 0.7',
    ['step.one_minus_beta2 * g * g', 'step.one_minus_beta2 * g'],
    ['gradients[first + j] * clip[0]', 'gradients[first + j]'],
    ['(2u * CODES + 2u * BLOCKS)', '(2u * CODES)'],
    ['word1 + CODES', 'word1 + BLOCKS'],
    ['(codes1, j, 0u)', '(codes1, 0u, 0u)'],
    ['(codes2, j, 1u)', '(codes2, j, 0u)'],
    ['v[j] * inverse2, 1u', 'v[j] * inverse2, 0u'],
    ['m[j] * inverse1', 'm[j]'],
    ['max(abs(m.z), abs(m.w))', 'abs(m.z)'],
    ['x > tables', 'x < tables'],
    ['high = 255u', 'high = 127u'],
  ),
  ...inFile('adamw_8bit.wgsl', 'adamw in 8 bits 1000, pages of 512, step 1, clip 0.3, from zero', [
    'select(0.0, 1.0 / largest, largest > 0.0)',
    'select(1.0, 1.0 / largest, largest < 0.0)',
  ]),
  ...inFile('adamw_8bit.wgsl', 'adamw in 8 bits 65, pages of 256, step 7, clip 1', [
    'first + j >= params.elements',
    'first + j >= params.elements + 64u',
  ]),
  ...inFile('adamw_8bit.wgsl', 'adamw 300 in 8 bits, skipped', ['clip[0] < 0.0', 'clip[0] < -1.0']),
  ...inFile(
    'common/adamw.wgsl',
    'adamw 700, step 3, clip 1, decay 0.2, gradients of 1, borders 0 64 65 66 300 301 512 700',
    ['borders[middle] <= i', 'borders[middle] < i'],
    ['high = middle', 'high = middle - 1u'],
    ['% 2u == 1u', '% 2u == 0u'],
    ['decay = step.second_decay', 'decay = step.decay'],
    ['step_size = step.second_step_size', 'step_size = step.step_size'],
  ),
  ...inFile('common/adamw.wgsl', ADAMW_TINY, ['+ step.epsilon', '- step.epsilon']),
  ...inFile(
    'common/philox.wgsl',
    'dropout 40 of 40 × 100, p 0.05, rank 16 columns',
    ['round < 10u', 'round < 9u'],
    ['(first & 0xffffu)', 'first'],
    ['+ (first >> 16u)', ''],
    ['c.y ^ k.x', 'c.y ^ k.y'],
    ['step.number, 0u', '0u, 0u'],
    ['step.micro_batch, step', '0u, step'],
    ['step.seed, params', '0u, params'],
    ['params.mask_id', '0u'],
    ['vec4<f32>(params.kept_scale)', 'vec4<f32>(1.0)'],
    ['random >= vec4', 'random < vec4'],
  ),
  ...inFile('common/philox.wgsl', 'dropout 7 of 9 × 65, p 0.3, rank 3 columns complement', [
    'vec4<f32>(params.dropped_scale)',
    'vec4<f32>(0.0)',
  ]),
  ...inFile(
    'dropout.wgsl',
    'dropout 7 of 9 × 65, p 0.3, rank 3 columns',
    ['index * 4u / params.padded', 'index * 4u / params.width'],
    ['token >= step.tokens', 'token > step.tokens'],
    ['+ params.x_at', ''],
    ['column + e < params.width', 'column + e <= params.width'],
  ),
  ...inFile(
    'dropout_expand.wgsl',
    'dropout_expand 7 of 9 × 65, p 0.3, rank 3 columns',
    ['params.a_at + r * params.width', 'r * params.width'],
    ['params.du_at + r', 'r'],
    ['sum *= dropout_factors(index)', 'sum *= 1.0'],
    ['] += sum[e]', '] = sum[e]'],
    ['r < params.rank', 'r < params.rank - 1u'],
  ),
  ...inFile(
    'dropout_expand.wgsl',
    'dropout_expand 7 of 9 × 65, p 0.3, rank 3 columns addend',
    ['addend[row.w]', 'addend[row.z]'],
    ['vec4<u32>(token * params.width) + columns', 'columns'],
    ['sum += vec4<f32>(addend', 'sum = vec4<f32>(addend'],
  ),
  ...inFile(
    'common/dora.wgsl',
    'dora_forward 65 of 65, 64+20+30×100 rank 16+0+4 double bias residual',
    ['column >= params.begin_{s}', 'column > params.begin_{s}'],
    ['out.adapted == 0u', 'out.adapted == 2u'],
    ['let i = column - out.begin', 'let i = column'],
    ['/ norms[out.norm_at + i]', '/ norms[i]'],
  ),
  ...inFile(
    'dora_backward.wgsl',
    'dora_backward 7 of 9, 33+9×65 rank 3+5 bias',
    ['dz[i] = factor * dy[i]', 'dz[i] = dy[i]'],
    ['sum += dy[i] * z_element(i)', 'sum += dy[i]'],
    ['slice < SLICES', 'slice < SLICES - 2u'],
    ['] += sum / norms', '] += sum * norms'],
    ['let inside = column < params.width', 'let inside = column <= params.width'],
  ),
  ...inFile('dora_backward.wgsl', 'dora_backward 65 of 65, 64+20+30×100 rank 16+0+4 double bias residual', [
    'inside && out.adapted != 0u',
    'inside',
  ]),
  ...inFile('dora_backward.wgsl', 'dora_backward 7 of 9, 20+9+33×64 rank 4+0+5 bias beside', [
    'rest[i] = (factor - 1.0) * dy[i]',
    'rest[i] = factor * dy[i]',
  ]),
  ...inFile(
    'dora_forward.wgsl',
    'dora_forward 7 of 9, 20+9+33×64 rank 4+0+5 bias beside',
    ['sum, out.adapted != 0u', 'sum, true'],
    ['+ beside[index]', '+ beside[column]'],
  ),
  ...inFile(
    'dora_forward.wgsl',
    'dora_forward 65 of 65, 64+20+30×100 rank 16+0+4 double bias residual',
    ['factor * load_z(index)', 'load_z(index)'],
    ['out.bias_at != 0u', 'true'],
    ['slab[out.bias_at + column - out.begin]', 'slab[out.bias_at + column]'],
    ['sum += residual[index]', 'sum -= residual[index]'],
  ),
  ...inFile('dora_forward.wgsl', 'dora_forward 7 of 9, 33+9×65 rank 3+5 bias', [
    'index >= step.tokens * params.width',
    'index > step.tokens * params.width',
  ]),
  ...inFile(
    'dora_norm.wgsl',
    'dora_norm 7 of 9, 33+9×65 rank 3+5 bias',
    ['* params.rank + params.b_at + r', '* params.rank + params.b_at'],
    ['params.a_at + r * params.in_features + k', 'r * params.in_features + k'],
    ['w + params.scale * low_rank', 'w + low_rank'],
    ['k < params.in_features', 'k < params.in_features - 1u'],
    ['row + lane < params.out_features', 'row + lane <= params.out_features'],
    ['i < LANES; i++', 'i < LANES - 1u; i++'],
    ['params.norm_at + row + lane', 'row + lane'],
    ['sqrt(total)', 'total'],
  ),
  ...inFile(
    'attention_backward_key_value.wgsl',
    `attention_backward ${ATTENTION}`,
    ['(score_1_{i}_{c}_{j} - mean)', '(score_1_{i}_{c}_{j} + mean)'],
    ['member < params.group', 'member < 1u'],
    ['key_{i}_{c} <= queries', 'key_{i}_{c} < queries'],
    ['first_key(query + 2u)', 'first_key(query + 1u)'],
    ['vec4<f32>(-MASKED)', 'vec4<f32>(MASKED)'],
  ),
  ...inFile(
    'attention_backward_key_value.wgsl',
    ATTENTION_SPLIT,
    ['partial_of(key) + HEAD_STEP', 'partial_of(key)'],
    ['begin = k0 + tiles * group.z', 'begin = k0 + tiles * (group.z + 1u)'],
  ),
  ...inFile(
    'attention_backward_query.wgsl',
    `attention_backward ${ATTENTION}`,
    ['- vec4<f32>(mean[{c}])', '+ vec4<f32>(mean[{c}])'],
    ['params.k_at + (head / params.group)', 'params.k_at + (head % params.group)'],
    ['sum += dot(', 'sum -= dot('],
    ['value * params.scale', 'value / params.scale'],
  ),
  ...inFile(
    'attention_backward_sum.wgsl',
    ATTENTION_SPLIT,
    ['n < count', 'n < 1u'],
    ['a * c + b * s', 'a * c - b * s'],
    ['i < params.half && !is_value', 'i < params.half'],
    ['select(0u, 1u, is_value)', 'select(1u, 0u, is_value)'],
  ),
  ...inFile(
    'attention_forward.wgsl',
    `attention_forward ${ATTENTION}`,
    ['exp(row_max_{i} - top)', 'exp(row_max_{i} + top)'],
    ['row_sum_{i} *= rescale', 'row_sum_{i} += rescale'],
    ['row_max_{i} + log(sum)', 'row_max_{i} - log(sum)'],
    ['params.k_at + (head / params.group)', 'params.k_at + (head % params.group)'],
  ),
  ...inFile(
    'cross_entropy.wgsl',
    CROSS_ENTROPY,
    ['c == id', 'c != id'],
    ['exp(value - top) / sum', 'exp(value - top) * sum'],
    ['log(sum) + (top - wanted)', 'log(sum) - (top - wanted)'],
    ['wanted == top', 'wanted != top'],
  ),
  ...inFile(
    'cross_entropy.wgsl',
    CROSS_ENTROPY_VECTORS,
    ['v.x + v.y + v.z + v.w', 'v.x + v.y + v.z + v.z'],
    ['c * 4u + 2u, c * 4u + 3u', 'c * 4u + 3u, c * 4u + 2u'],
    ['base + id / 4u][id % 4u]', 'base + id / 4u][id % 3u]'],
    ['reduce_sum(own_sum * exp(own_top - top), lane)', 'reduce_sum(own_sum, lane)'],
    ['logits[base + c] = NOTHING', 'logits[base] = NOTHING'],
  ),
  ...inFile('cross_entropy.wgsl', 'cross_entropy 65 of 70 × 36, ±29 gradient capped at 30', [
    'soft_cap_slope(v, params.cap)',
    'vec4<f32>(1.0)',
  ]),
  ...inFile('cross_entropy.wgsl', 'cross_entropy 63 of 63 × 33, ±29 gradient capped at 30', [
    'soft_cap_slope(vec4<f32>(v), params.cap).x',
    '1.0',
  ]),
  ...inFile('cross_entropy.wgsl', 'cross_entropy 7 of 7 × 2056, ±80 gradient', [
    'own_sum * exp(own_top - top) + total',
    'own_sum + total',
  ]),
  ...inFile('cross_entropy.wgsl', 'cross_entropy 1000 of 1000 × 8, ±5 gradient', ['max(v.z, v.w)', 'max(v.z, v.z)']),
  ...inFile(
    'cross_entropy.wgsl',
    'cross_entropy 65 of 90 × 65, ±5 gradient rows 60 + 20',
    ['params.first_token + row', 'row'],
    ['let base = row * count', 'let base = token * count'],
  ),
  ...inFile('cross_entropy.wgsl', 'cross_entropy 7 of 7 × 36, ±5 loss only', [
    'if (GRADIENT) { for',
    'if (true) { for',
  ]),
  ...inFile('cross_entropy.wgsl', 'cross_entropy 1000 of 1000 × 7, ±5 gradient', ['target_id < 0', 'target_id <= 0']),
  ...inFile('embedding.wgsl', EVERY_HALF, ['id < params.first_row', 'id <= params.first_row']),
  ...inFile(
    'embedding.wgsl',
    TWO_SHARDS,
    ['* params.scale', '+ params.scale'],
    ['(id - params.first_row) * params.width', 'id * params.width'],
  ),
  ...inFile('embedding.wgsl', INT8_ROWS, ['table[i >> 2u]', 'table[i >> 3u]']),
  ...inFile('common/signed_bytes.wgsl', INT8_ROWS, ['(i & 3u) * 8u', '(i & 1u) * 8u'], ['i >> 6u', 'i >> 7u']),
  ...inFile('common/signed_bytes.wgsl', INT8_VECTORS, ['extractBits(w, 24u, 8u)', 'extractBits(w, 24u, 7u)']),
  ...inFile(
    'int8_quantize.wgsl',
    'int8_quantize F32 ties, any absmax',
    ['round(values[j] * factor)', 'floor(values[j] * factor + 0.5)'],
    ['exact_reciprocal(largest)', '(1.000001 / largest)'],
    ['0.007874015718698502', '0.0078740149'],
    ['maxima[first + j]', 'maxima[first]'],
    ['(j * 8u)', '(j * 4u)'],
  ),
  ...inFile(
    'int8_quantize.wgsl',
    'int8_quantize F16 63',
    ['params.first_word + word', 'word'],
    ['params.first_scale + (word >> 4u)', '(word >> 4u)'],
  ),
  ...inFile('int8_quantize.wgsl', 'int8_quantize F32 blocks of zeros, of tiny numbers and of one value', [
    'largest >= SMALLEST',
    'true',
  ]),
  ...inFile('grad_norm.wgsl', GRAD_NORM, ['sqrt(sum)', 'sum'], ['min(1.0,', 'max(1.0,'], ['+ 2u]', '+ 1u]']),
  ...inFile('grad_norm.wgsl', 'grad_norm of 65, at most 0.000001', [
    '(norm + 1e-6)), finite',
    '(norm - 1e-6)), finite',
  ]),
  ...inFile('grad_norm.wgsl', 'grad_norm with a gradient of NaN', [
    '0x7f800000u) != 0x7f800000u',
    '0x7f800000u) != 0u',
  ]),
  ...inFile('adamw.wgsl', 'adamw 300 in 32 bits, skipped', ['clip[0] < 0.0', 'clip[0] < -1.0']),
  ...inFile(
    'grad_norm_partials.wgsl',
    GRAD_NORM,
    ['gradients[i] * gradients[i]', 'gradients[i] + gradients[i]'],
    ['params.first_partial + span', 'span'],
  ),
  ...inFile('grad_norm_partials.wgsl', 'grad_norm of 100003, at most 1', ['(span + 1u) * SPAN', '(span + 2u) * SPAN']),
  ...inFile(
    'common/head_norm.wgsl',
    'head_norm 7 of 9, 4/2 × 20 halves',
    ['at + 4u * c', 'at + c'],
    ['weight[i + 2u]', 'weight[i + 1u]'],
  ),
  ...inFile('common/head_norm.wgsl', `head_norm ${HEADS}`, ['weight[at + c]', 'weight[c]']),
  ...inFile(
    'common/halves.wgsl',
    'swiglu 33 of 35 × 36 halves',
    [
      'vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y))',
      'vec4<f32>(unpack2x16float(words.y), unpack2x16float(words.x))',
    ],
    ['to_halves_2(x.zw)', 'to_halves_2(x.xy)'],
  ),
  ...inFile('common/halves.wgsl', 'swiglu 5 of 5 × 12, gates to ±1000 halves', [
    'vec2<f32>(65504.0)',
    'vec2<f32>(6550.0)',
  ]),
  ...inFile('common/matmul_left.wgsl', 'matmul_nf4 SOFTWARE 9 of 10, 36+8×68 columns x halves', [
    'A_SHIFT = 2u',
    'A_SHIFT = 3u',
  ]),
  ...inFile('common/matmul_left.wgsl', DENSE, ['* params.x_stride + params.x_at;', '* params.x_stride;']),
  ...inFile('common/matmul_left.wgsl', DENSE_VECTORS, ['min(k, params.depth - (1u << A_SHIFT))', 'k']),
  ...inFile('common/matmul_left.wgsl', NF4_COLUMNS, ['+ params.x_at + min(k', '+ min(k']),
  ...inFile('common/matmul_left.wgsl', NF4_ODD, ['x[at + min(k + 2u, last)]', 'x[at + min(k + 1u, last)]']),
  ...inFile('dora_backward.wgsl', 'dora_backward 7 of 9, 20+8+38×64 rank 4+0+5 bias beside z halves', [
    '[i % 2u]',
    '[0]',
  ]),
  ...inFile('dora_forward.wgsl', 'dora_forward 7 of 9, 20+8+36×64 rank 4+0+5 bias residual z halves', [
    'factor_of(out, column + 2u)',
    'factor_of(out, column)',
  ]),
  ...inFile('dora_forward.wgsl', 'dora_forward 7 of 9, 20+8+36×64 rank 4+0+5 bias residual z halves', [
    'bias_of(out, column + 3u)',
    'bias_of(out, column)',
  ]),
  ...inFile('dropout.wgsl', 'dropout 7 of 9 × 68, p 0.3, rank 3 columns halves', ['(at + column) / 4u', 'at / 4u']),
  ...inFile(
    'head_norm.wgsl',
    `head_norm ${HEADS}`,
    ['select(params.key_at, params.query_at, head', 'select(params.query_at, params.key_at, head'],
    ['head < params.heads', 'head <= params.heads'],
    ['store_raw(index * params.width + c, x)', 'store_raw(index * params.width + c, x * scale)'],
    ['token * params.stride + head * params.width', 'index * params.width'],
    ['x * scale * weight_number(weight_at, c)', 'x * scale * weight_number(0u, c)'],
  ),
  ...inFile(
    'head_norm_backward.wgsl',
    `head_norm_backward ${HEADS}`,
    ['* scale - load_raw(raw_at + c)', '* scale + load_raw(raw_at + c)'],
    ['scale * scale * scale / width', 'scale * scale / width'],
    ['let raw_at = index * params.width', 'let raw_at = at'],
    ['head < params.heads', 'head <= params.heads'],
    ['product += x * d_qkv[at + c] * weight_number(weight_at, c)', 'product += x * d_qkv[at + c]'],
  ),
  ...inFile(
    'loss_sum.wgsl',
    'loss_sum 63 of 65, slot 3, micro-batch 1',
    ['loss[t * 2u + 1u]', 'loss[t * 2u]'],
    ['step.micro_batch == 0u', 'step.micro_batch != 0u'],
    ['step.log_slot * LOG_FIELDS', 'step.log_slot + LOG_FIELDS'],
  ),
  ...inFile(
    'low_rank.wgsl',
    LOW_RANK,
    ['min(k, segment.depth - 4u)) >> 2u);', 'k) >> 2u);'],
    ['let j = j0 + 4u * tx', 'let j = j0'],
    ['m_vector(j + {c}u, k0 + {i}u * STRIDE)', 'm_vector(j, k0 + {i}u * STRIDE)'],
  ),
  ...inFile('low_rank.wgsl', LOW_RANK_WHOLE, [
    'lora[m_index(row, min(k, segment.depth - 4u)) >> 2u], k < segment.depth',
    'lora[m_index(row, min(k, segment.depth - 4u)) >> 2u], k <= segment.depth',
  ]),
  ...inFile(
    'low_rank.wgsl',
    LOW_RANK_ROWS,
    ['token + 4u * ty + {c}u, step', 'token + {c}u, step'],
    ['x_vector(row_{c}, k0 + {i}u * STRIDE)', 'x_vector(row_{c}, k0)'],
    ['k0 += UNROLL * STRIDE', 'k0 += 2u * UNROLL * STRIDE'],
    ['let slice = lane / (WIDTH * ROWS)', 'let slice = lane / (WIDTH * ROWS) % 8u'],
    ['sum += sums[other * OUTPUTS + lane % OUTPUTS]', 'sum += sums[other * OUTPUTS + lane / OUTPUTS]'],
    ['var other = lane / OUTPUTS; other < SLICES', 'var other = lane / OUTPUTS; other < SLICES - 1u'],
    ['other < ADDERS', 'other < ADDERS - 1u'],
  ),
  ...inFile(
    'low_rank.wgsl',
    LOW_RANK_ODD,
    ['x[row + min(k + 2u, last)]', 'x[row + min(k + 1u, last)]'],
    ['j * segment.depth + k', 'k * segment.depth + j'],
    ['vec4<u32>(k, k + 1u, k + 2u, k + 3u) <', 'vec4<u32>(k) <'],
    ['t >= step.tokens', 't > step.tokens'],
    ['if (rank < found.rank)', 'if (rank <= found.rank)'],
  ),
  ...inFile(
    'low_rank.wgsl',
    LOW_RANK_TURNED,
    ['params.x_stride + found.x_at', 'params.x_stride'],
    ['k * segment.rank + j', 'j * segment.rank + k'],
    ['group.y >= params.tile_{s}', 'group.y > params.tile_{s}'],
    ['(group.y - found.tile) * 16u', 'group.y * 16u'],
    ['params.u_stride + found.u_at + rank', 'params.u_stride + rank'],
    ['factor * sum[e]', 'sum[e]'],
    ['x_{i}_{c}.z * m_{i}_2', 'x_{i}_{c}.w * m_{i}_2'],
  ),
  ...inFile(
    'low_rank.wgsl',
    LOW_RANK_TURNED_WHOLE,
    ['min(j, segment.rank - 4u), row) >> 2u', 'min(j, segment.rank - 4u), row) >> 1u'],
    ['segment.lora_at + k * segment.rank', 'k * segment.rank'],
  ),
  ...inFile(
    'low_rank_gradient.wgsl',
    LOW_RANK_SUM,
    ['params.u_stride + job.narrow_at', 'params.u_stride'],
    ['params.wide_stride_{w} + job.wide_at', 'params.wide_stride_{w}'],
    ['at + min(c, job.narrow - 4u)', 'at'],
    ['job.of_a == ({w}u == 0u)', 'job.of_a == ({w}u != 0u)'],
    ['group.x >= params.tile_{s}', 'group.x > params.tile_{s}'],
    ['group.x - params.tile_{s}', 'group.x'],
    ['(job.wide + WIDE * 4u - 1u)', 'job.wide'],
    ['(tile / across) * NARROW', '(tile % across) * NARROW'],
    ['token += UNROLL * SLICES', 'token += 2u * UNROLL * SLICES'],
    ['min(token + {i}u * SLICES', 'min(token'],
    ['other < SLICES', 'other < SLICES - 1u'],
    ['if (!job.of_a) { at =', 'if (job.of_a) { at ='],
    ['m0 + 4u * {v}u + lane / WIDE, n', 'm0 + lane / WIDE, n'],
    ['(lane / WIDE * 4u + {e}u) * WIDE', '(lane / WIDE * 4u) * WIDE'],
  ),
  ...inFile(
    'low_rank_gradient.wgsl',
    LOW_RANK_SUM_ODD,
    ['vec4<u32>(c, c + 1u, c + 2u, c + 3u)', 'vec4<u32>(c, c + 1u, c + 1u, c + 3u)'],
    ['vec4<u32>(count - 1u)', 'vec4<u32>(count - 2u)'],
    ['m >= job.narrow', 'm > job.narrow'],
    ['n + e >= job.wide', 'n + e > job.wide'],
    ['(n + e) * job.narrow + m', 'm * job.wide + n + e'],
    ['gradients[at] += value[e]', 'gradients[at] -= value[e]'],
  ),
  ...inFile(
    'low_rank_gradient.wgsl',
    LOW_RANK_SPLIT,
    ['let begin = group.y * params.split_tokens', 'let begin = 0u'],
    ['token + {i}u * SLICES < end', 'token + {i}u * SLICES <= end'],
    ['min(step.tokens, begin + params.split_tokens)', 'step.tokens'],
    ['+ at - params.a_at', '+ at'],
    ['params.wide_stride_{w}', 'params.wide_stride_0'],
  ),
  ...inFile(
    'low_rank_gradient_sum.wgsl',
    LOW_RANK_SPLIT,
    ['i >= params.count', 'i > params.count'],
    ['split < params.splits', 'split < params.splits - 1u'],
    ['split * params.count', 'params.count'],
    ['params.first + i', 'i'],
    ['+= sum', '-= sum'],
  ),
  ...inFile(
    'matmul_dense.wgsl',
    DENSE,
    ['first + min(c + 2u, last)', 'first + min(c + 1u, last)'],
    ['min(n, params.width - 1u) * params.depth', 'min(n, params.width - 1u) * params.width'],
    ['k + 3u) < vec4<u32>(params.depth)', 'k + 3u) <= vec4<u32>(params.depth)'],
    ['n + {e}u < params.width', 'n < params.width'],
    ['y_begin = params.y_at', 'y_begin = 0u'],
  ),
  ...inFile('matmul_dense.wgsl', DENSE_TURNED, ['unpack(raw), k < params.depth', 'unpack(raw), k <= params.depth']),
  ...inFile(
    'matmul_dense.wgsl',
    DENSE_CHUNK,
    ['step.tokens - min(step.tokens, params.first_token)', 'step.tokens'],
    ['min(k, params.depth - 1u) * params.width', 'min(k, params.depth - 1u) * params.depth'],
  ),
  ...inFile(
    'matmul_dense.wgsl',
    DENSE_HALF,
    ['min(params.row_count,', 'max(params.row_count,'],
    ['m >= rows()', 'm > rows()'],
    ['decode_element(raw.x, 1u)', 'decode_element(raw.x, 0u)'],
  ),
  ...inFile(
    'matmul_dense.wgsl',
    INT8_VECTORS,
    [
      'RawB(weight[i >> 2u], weight[params.scales_at + scale_block(i)])',
      'RawB(weight[i >> 2u], weight[params.scales_at])',
    ],
    ['let i = first + min(c, length - 4u)', 'let i = first + c + 4u'],
  ),
  ...inFile(
    'matmul_dense.wgsl',
    DENSE_SPLIT,
    ['let k_begin = group.z * params.split_depth', 'let k_begin = 0u'],
    ['group.z * params.plane', 'params.plane'],
  ),
  ...inFile('matmul_dense.wgsl', 'matmul_dense SOFTWARE BF16 65 of 80 × 130 → 100 accumulated', [
    '+= value[{e}]',
    '-= value[{e}]',
  ]),
  ...inFile('matmul_dense.wgsl', 'matmul_dense SOFTWARE F32 33 of 33 × 20 → 68 accumulated columns', [
    '] += value;',
    '] = value;',
  ]),
  ...inFile(
    'matmul_nf4.wgsl',
    NF4,
    [
      'decode_packed(segment.nf4, raw, min(n, segment.width - 1u) * params.depth',
      'decode_packed(segment.nf4, raw, min(n, segment.width - 1u) * params.width',
    ],
    ['select(vec4<f32>(0.0), weights, k < params.depth)', 'weights'],
    ['word(segment.bias_at + n)', 'word(segment.bias_at)'],
  ),
  ...inFile('matmul_nf4.wgsl', NF4_COLUMNS, ['y_begin = params.y_at + found.begin', 'y_begin = found.begin']),
  ...inFile('matmul_nf4.wgsl', FLOATS_MIXED, ['decode_packed(row.nf4, raw', 'decode_packed(segment_0().nf4, raw']),
  ...inFile('matmul_nf4.wgsl', NF4_BIAS, ['segment.bias_at != 0u', 'true'], ['n >= columns', 'n > columns']),
  ...inFile(
    'matmul_nf4.wgsl',
    NF4_GROUP,
    ['params.u_stride + segment.u_at', 'params.u_stride'],
    ['group.x >= params.tile_{s}', 'group.x > params.tile_{s}'],
    ['group.x - params.tile_{s}', 'group.x'],
    ['params.y_at + found.begin', 'params.y_at'],
    ['let n0 = tile * TILE_N', 'let n0 = group.x * TILE_N'],
  ),
  ...inFile(
    'matmul_nf4.wgsl',
    NF4_RESIDUAL,
    ['own_begin + n) >> 2u', 'n) >> 2u'],
    ['sum += residual[(', 'sum -= residual[('],
  ),
  ...inFile(
    'matmul_nf4.wgsl',
    NF4_LORA,
    ['n * segment.rank + k', 'n * segment.rank'],
    ['segment.lora_at + i', 'i'],
    ['n < segment.width && k < segment.rank', 'n < segment.width'],
  ),
  ...inFile(
    'matmul_nf4.wgsl',
    NF4_TURNED,
    ['row >= params.begin_{s}', 'row > params.begin_{s}'],
    ['own_offset = offset_{s}', 'own_offset = offset_0'],
    ['(row - begin) * params.width', 'row * params.width'],
    ['decode_packed(row.nf4, raw, row.first + min', 'decode_packed(row.nf4, raw, min'],
    ['absmax_offset(segment_{s}().nf4)', 'absmax_offset(segment_0().nf4)'],
  ),
  ...inFile(
    'matmul_nf4.wgsl',
    NF4_SPLIT,
    ['let k_begin = group.z * params.split_depth', 'let k_begin = 0u'],
    ['min(params.depth, k_begin + params.split_depth)', 'k_begin + params.split_depth'],
    ['k_end == params.depth', 'k_end != params.depth'],
    ['group.z * params.plane', 'params.plane'],
  ),
  ...inFile(
    'matmul_nf4.wgsl',
    NF4_ODD,
    ['k + 3u) < vec4<u32>(params.depth)', 'k + 3u) <= vec4<u32>(params.depth)'],
    ['n + {e}u < columns', 'n < columns'],
    ['own_begin + n + {e}u', 'n + {e}u'],
  ),
  ...inFile('matmul_nf4.wgsl', NF4_ODD_LORA, ['k + 1u < segment.rank', 'k < segment.rank']),
  ...inFile(
    'matmul_nf4.wgsl',
    NF4_ODD_TURNED,
    ['raw, k < params.depth', 'raw, k <= params.depth'],
    ['let i = k * params.width + n', 'let i = k * params.width'],
  ),
  ...inFile(
    'matmul_reduce.wgsl',
    REDUCE,
    ['bias_of(column + 2u)', 'bias_of(column + 1u)'],
    ['split < params.splits', 'split < params.splits - 1u'],
    ['params.plane / WIDE', 'params.plane'],
    ['index * WIDE % params.width', 'index % params.width'],
  ),
  ...inFile(
    'matmul_reduce.wgsl',
    REDUCE_ODD,
    ['column >= params.begin_{s}', 'column > params.begin_{s}'],
    ['bias_at + column - begin', 'bias_at + column'],
    ['bias_at != 0u', 'true'],
    ['sum += residual[index]', 'sum -= residual[index]'],
  ),
  ...inFile('matmul_reduce.wgsl', NF4_SPLIT, ['params.y_stride + params.y_at', 'params.y_stride']),
  ...inFile('matmul_reduce.wgsl', DENSE_SPLIT_SUM, ['row >= min(', 'row > min('], ['y[at] += sum', 'y[at] -= sum']),
  ...inFile('nf4_quantize.wgsl', 'nf4_quantize F32 on thresholds, powers of two', [
    'x > thresholds',
    'x >= thresholds',
  ]),
  ...inFile(
    'nf4_quantize.wgsl',
    'nf4_quantize F16 63, behind others',
    ['(j ^ 1u) * 4u', 'j * 4u'],
    ['params.first_block + block', 'block'],
  ),
  ...inFile(
    'nf4_quantize.wgsl',
    'nf4_quantize flags F16 0xfc00 at 64',
    ['!finite(x)', 'finite(x)'],
    ['0x7f800000u) != 0x7f800000u', '0x7f800000u) != 0u'],
  ),
  ...inFile('nf4_quantize.wgsl', 'nf4_quantize fp4 BF16 130 × 33', ['u32(thresholds[15u + place])', 'place']),
  ...inFile('nf4_quantize.wgsl', 'nf4_quantize F32 130 × 33', ['maxima[first + j]', 'maxima[first]']),
  ...inFile('nf4_quantize.wgsl', 'nf4_quantize F32 subnormal values under a normal absmax', [
    'magnitude >= 0x800000u',
    'magnitude >= 0x8u',
  ]),
  ...inFile(
    'rms_norm.wgsl',
    RMS_NORM,
    ['mean + params.epsilon', 'mean - params.epsilon'],
    ['weight[params.weight_at + c]', 'weight[c]'],
    ['/ f32(params.width', '* f32(params.width'],
  ),
  ...inFile('rms_norm.wgsl', 'rms_norm 33 of 40 × 70 of size 3 residual', [
    'residual[row + c] + normed',
    'residual[row + c] - normed',
  ]),
  ...inFile(
    'rms_norm_backward.wgsl',
    'rms_norm_backward 7 of 7 × 33, accumulated',
    ['* scale - x[row + c]', '* scale + x[row + c]'],
    ['scale * scale * scale / width', 'scale * scale / width'],
    ['+= gradient', '-= gradient'],
  ),
  ...inFile('rms_norm_backward.wgsl', 'rms_norm_backward 65 of 66 × 7, accumulated, with normed', [
    'store_normed(row + c, x[row + c] * scale',
    'store_normed(row + c, x[row + c]',
  ]),
  ...inFile(
    'rope.wgsl',
    ROPE,
    ['a * c - b * s', 'a * c + b * s'],
    ['b * c + a * s', 'a * c + b * s'],
    ['positions[token]', 'token'],
    ['return sines[angle] * params.sign', 'return sines[angle]'],
  ),
  ...inFile(
    'rope.wgsl',
    'rope 9 of 9 × 3+1 heads of 16, 12 rotated halves',
    ['cosines[angle + 1u]', 'cosines[angle]'],
    ['lane) * PAIRS', 'lane)'],
    ['params.half / PAIRS', 'params.half'],
  ),
  ...inFile(
    'soft_cap.wgsl',
    'soft_cap 65 of 90 × 33, ±30 at 30, rows 60 + 20',
    ['params.first_token + row >= step.tokens', 'row >= step.tokens'],
    ['soft_cap(vec4<f32>(x[index]), params.cap).x', 'x[index]'],
  ),
  ...inFile('soft_cap.wgsl', 'soft_cap 65 of 70 × 8, ±30 at 30, rows 20 + 20', [
    'soft_cap(x[index], params.cap)',
    'x[index]',
  ]),
  ...inFile(
    'swiglu.wgsl',
    'swiglu 7 of 9 × 33',
    ['.value * load_gate_up', '.value + load_gate_up'],
    ['load_gate_up(at + params.width)', 'load_gate_up(at)'],
    ['activation(load_gate_up(at)).value', 'activation(load_gate_up(at)).slope'],
  ),
  ...inFile(
    'swiglu_backward.wgsl',
    'swiglu_backward 7 of 9 × 33',
    ['gate.value * up', 'gate.value'],
    ['dy[index] * gate.value', 'dy[index]'],
    ['dy[index] * up * gate.slope', 'dy[index] * gate.slope'],
  ),
  ...inFile(
    'common/activation.wgsl',
    'swiglu 65 of 70 × 64, gates to ±100',
    ['x >= Number(0.0)', 'x <= Number(0.0)'],
    ['-abs(x)', 'abs(x)'],
  ),
  ...inFile('common/activation.wgsl', 'swiglu_backward 7 of 9 × 33', [
    's * (1.0 + x * (1.0 - s))',
    's * (1.0 + x * (1.0 + s))',
  ]),
  ...inFile(
    'common/activation.wgsl',
    'swiglu_backward 7 of 9 × 33, gelu_tanh',
    ['(1.0 + 0.044715 * t * t)', '(1.0 + 0.044715 * t)'],
    ['(1.0 + 0.134145 * t * t)', '(1.0 + 0.044715 * t * t)'],
    ['s + x * s * (1.0 - s)', 's + s * (1.0 - s)'],
  ),
  ...inFile(
    'common/number.wgsl',
    'rms_norm 65 of 70 × 132 of size 3 residual',
    ['(x.x + x.y) + (x.z + x.w)', '(x.x + x.y) + (x.z + x.z)'],
    ['NUMBER_ELEMENTS = 4u', 'NUMBER_ELEMENTS = 1u'],
  ),
  ...inFile(
    'common/attention.wgsl',
    `attention_forward ${ATTENTION}`,
    ['max(begin, token + 1u', 'max(begin, token + 2u'],
    ['k0 + keys <= q0 + 1u', 'k0 <= q0 + 1u'],
    ['queries - 1u) <= k0', 'queries - 1u) >= k0'],
  ),
  ...inFile('common/attention.wgsl', `attention_backward ${ATTENTION}`, [
    'min(end, token + params.window)',
    'min(end, token + 1u)',
  ]),
  ...inFile('common/attention_gradient.wgsl', `attention_backward ${ATTENTION}`, [
    'return d_o[vector_at(row, params.o_stride',
    'return d_o[vector_at(row, params.stride',
  ]),
  ...inFile('common/attention_gradient.wgsl', `attention_backward ${ATTENTION_ODD}`, ['d_o[at + 2u]', 'd_o[at + 1u]']),
  ...inFile(
    'common/attention_query_rows.wgsl',
    `attention_forward ${ATTENTION}`,
    ['keys_{j} >= first', 'keys_{j} > first'],
    ['keys_{j} <= vec4', 'keys_{j} < vec4'],
    ['min(q0 + ROWS, step.tokens)', 'min(q0 + 1u, step.tokens)'],
  ),
  ...inFile('common/attention_scores.wgsl', `attention_forward ${ATTENTION}`, [
    '{ return product * params.scale; }',
    '{ return product / params.scale; }',
  ]),
  ...inFile(
    'common/attention_scores.wgsl',
    `attention_backward ${ATTENTION_CAPPED}`,
    ['soft_cap(product * params.scale, params.soft_cap)', 'product * params.scale'],
    ['gradient * soft_cap_slope(score, params.soft_cap)', 'gradient'],
  ),
  ...inFile(
    'common/attention_tile.wgsl',
    `attention_forward ${ATTENTION}`,
    ['score_{set}_{i}_{c}_{j} += a_{i}[{c}]', 'score_{set}_{i}_{c}_{j} += a_{i}[{k}]'],
    ['out_{set}_{i}_{c}_{j} += a_{i}[{c}]', 'out_{set}_{i}_{c}_{j} += a_{i}[{k}]'],
    ['min(row, step.tokens - 1u) * stride + head_at + min(v', 'row * stride + head_at + min(v'],
    ['sum += a_tile[t', 'sum = a_tile[t'],
  ),
  ...inFile(
    'common/attention_tile.wgsl',
    `attention_forward ${ATTENTION_WIDE}`,
    ['span + 1u < SPANS', 'span + 2u < SPANS'],
    ['(n / (4u * RD)) * TY', '(n / (4u * RD))'],
    ['put_b(block - A_BLOCKS', 'put_b(block'],
  ),
  ...inFile('common/attention_tile.wgsl', `attention_forward ${ATTENTION_ODD}`, [
    '3u) < vec4<u32>(HEAD_DIM)',
    '3u) <= vec4<u32>(HEAD_DIM)',
  ]),
  ...inFile(
    'common/exact.wgsl',
    RECIPROCAL,
    ['(quotient >> 1u) + (quotient & 1u)', '(quotient >> 1u)'],
    ['253u - exponent', '254u - exponent'],
    ['i < 25u', 'i < 24u'],
  ),
  ...inFile(
    'common/exact.wgsl',
    QUOTIENT,
    ['(mantissa & 1u) == 1u', '(mantissa & 1u) == 0u'],
    ['left >= 32u', 'left > 32u'],
    ['u32(exponent + 1 + scale', 'u32(exponent + scale'],
  ),
  ...inFile(
    'common/float_dtypes.wgsl',
    EVERY_HALF,
    ['5.9604644775390625e-8', '1.1920928955078125e-7'],
    ['exponent + 112u', 'exponent + 111u'],
    ['select(magnitude, -magnitude, sign != 0u)', 'select(magnitude, -magnitude, sign == 0u)'],
    ['(i & 1u) * 16u', '(i & 2u) * 8u'],
  ),
  ...inFile(
    'common/float_dtypes.wgsl',
    TWO_SHARDS,
    ['h << 16u', 'h << 15u'],
    ['i >> 1u, i, DTYPE', 'i, i >> 1u, DTYPE'],
  ),
  ...inFile(
    'common/indexing.wgsl',
    FOLDED,
    ['id.y * count.x + id.x', 'id.y + count.x * id.x'],
    ['id.y * count.x', 'id.y * count.y'],
  ),
  ...inFile(
    'common/matmul_tile.wgsl',
    DENSE,
    ['let own_at = at + vec2<u32>(r, 0u);', 'let own_at = at + vec2<u32>(0u, r);'],
    ['vec2<u32>(r, 0u), B_ALONG_K)', 'vec2<u32>(r, 0u), !B_ALONG_K)'],
    ['block / (4u * width) * 4u', 'block / width * 4u'],
    ['a_tile[at.y + {r}u]', 'a_tile[at.y]'],
    ['(k_end - k_begin + TILE_K - 1u)', '(k_end - k_begin)'],
  ),
  ...inFile(
    'common/matmul_tile.wgsl',
    DENSE_TURNED,
    ['vec2<u32>(block % B_WIDTH, block / B_WIDTH)', 'vec2<u32>(block % B_WIDTH, block % B_WIDTH)'],
    ['ty + {i}u * TY]', 'ty + {i}u]'],
    ['tx + {j}u * TX]', 'tx + {j}u]'],
    ['a_{i}[{c}] * b_{j}', 'a_{i}[{k}] * b_{j}'],
    ['row % 4u', 'row % 2u'],
    ['(row / 4u) * TY', '(row / 4u)'],
    ['(i % RN) * TX', '(i % RN)'],
    ['return lane % 8u', 'return lane % 4u'],
  ),
  ...inFile('common/matmul_tile.wgsl', DENSE_SPLIT, ['let k0 = k_begin + i * TILE_K', 'let k0 = i * TILE_K']),
  ...inFile(
    'common/matmul_tile.wgsl',
    NF4_LORA,
    ['(rank + TILE_K - 1u) / TILE_K', 'rank / TILE_K'],
    ['(i - steps) * TILE_K', 'i * TILE_K'],
    ['low_rank_a(m + 2u, k)', 'low_rank_a(m + 1u, k)'],
    ['low_rank_b(n + 2u, k)', 'low_rank_b(n + 1u, k)'],
  ),
  ...inFile('common/matmul_tile.wgsl', NF4_ODD_TURNED, ['low_rank_b(n, k + 2u)', 'low_rank_b(n, k + 1u)']),
  ...inFile(
    'common/matmul_tile.wgsl',
    DENSE_PREFETCH,
    ['= fetch_a(at.x + {r}u, at.y)', '= fetch_a(at.x, at.y)'],
    ['= fetch_b(at.x, at.y + {r}u)', '= fetch_b(at.x, at.y)'],
    ['vec2<u32>(n0, k0) + place_b(block - A_BLOCKS)', 'vec2<u32>(n0, k0) + place_b(block)'],
    ['k0 + TILE_K, lane', 'k0, lane'],
    ['lane / 32u / (TX / 8u) * 4u', 'lane / 32u * 4u'],
    ['(lane / 32u) % (TX / 8u)', '(lane / 32u)'],
  ),
  ...inFile(
    'common/matmul_tile.wgsl',
    NF4_PREFETCH,
    ['= fetch_b(at.x + {r}u, at.y)', '= fetch_b(at.x, at.y)'],
    ['decode_b(next_b_{s}_{r}, at.x + {r}u, at.y)', 'decode_b(next_b_{s}_{r}, at.x, at.y)'],
  ),
  ...inFile(
    'common/nf4.wgsl',
    NF4,
    ['word(CODEBOOK_WORDS + i)', 'word(i)'],
    ['absmax_at + (block >> 2u)', 'absmax_at + (block >> 3u)'],
    ['(half >> 12u) & 15u', '(half >> 8u) & 15u'],
    ['((i >> 6u) & 3u) * 8u', '((i >> 6u) & 1u) * 8u'],
    ['bitcast<f32>(raw.y) + offset', 'bitcast<f32>(raw.y) - offset'],
    ['raw.x >> ((i & 4u) * 4u)', 'raw.x >> ((i & 2u) * 8u)'],
  ),
  ...inFile('common/nf4.wgsl', MATVEC, ['(v % 2u) * 16u', '0u']),
  ...inFile(
    'common/nf4.wgsl',
    FLOATS,
    ['return vec4<u32>(word(at), word(at + 1u), 0u, 0u)', 'return vec4<u32>(word(at), word(at), 0u, 0u)'],
    ['decode_element(raw.x, 1u)', 'decode_element(raw.x, 0u)'],
    ['return fetch_floats(tensor.codes_at + element_word(i))', 'return fetch_floats(tensor.codes_at + i)'],
  ),
  ...inFile(
    'common/nf4.wgsl',
    FLOATS_WIDE,
    ['if (DTYPE == 0u) { return bitcast', 'if (DTYPE == 9u) { return bitcast'],
    ['word(at + 2u), word(at + 3u)', 'word(at + 2u), word(at + 2u)'],
  ),
  ...inFile('common/nf4.wgsl', FLOATS_ODD, [
    'word(tensor.codes_at + element_word(i)), i)',
    'word(tensor.codes_at + i), i)',
  ]),
  ...inFile('common/nf4.wgsl', FLOATS_MIXED, [
    'if (in_floats(tensor)) { return decode_floats(raw); }',
    'if (!in_floats(tensor)) { return decode_floats(raw); }',
  ]),
  ...inFile(
    'common/nf4.wgsl',
    MATVEC_FLOATS,
    ['slab[(tensor.codes_at + element_word(i)) >> 2u]', 'slab[(tensor.codes_at + i) >> 2u]'],
    ['v == 1u', 'v == 2u'],
    ['decode_codes(raw.x >> (v * 16u))', 'decode_codes(raw.x)'],
    ['1.0, in_floats(tensor)', '1.0, !in_floats(tensor)'],
  ),
  ...inFile('common/nf4.wgsl', MATVEC_FLOATS_WIDE, ['>> ((i & 4u) * 4u), fetch_absmax', ', fetch_absmax']),
  ...inFile(
    'common/nf4.wgsl',
    NF4_ODD,
    ['(i ^ 1u) & 7u', 'i & 7u'],
    ['let block = i >> 6u', 'let block = i >> 5u'],
    ['tensor.absmax_at + block', 'tensor.absmax_at'],
  ),
  ...inFile('common/nf4.wgsl', 'matmul_nf4 SOFTWARE 5 of 5, 152×260 double', [
    '1u + (block >> 8u)',
    '1u + (block >> 10u)',
  ]),
  ...inFile(
    'common/soft_cap.wgsl',
    'soft_cap 7 of 9 × 33, ±80 at 30',
    ['sign(t) * (1.0', '(1.0'],
    ['select(large, small, a < vec4<f32>(0.6))', 'small'],
    ['1260.0 + s * 21.0', '1260.0 - s * 21.0'],
  ),
  ...inFile('common/soft_cap.wgsl', 'soft_cap 7 of 7 × 130, ±10000 at 2', ['let t = x / cap', 'let t = x']),
  ...inFile('common/soft_cap.wgsl', 'soft_cap 65 of 65 × 64, ±0.0001 at 30', [
    'select(large, small, a < vec4<f32>(0.6))',
    'large',
  ]),
  ...inFile(
    'common/soft_cap.wgsl',
    `attention_backward ${ATTENTION_CAPPED}`,
    ['1.0 - t * t', '1.0 + t * t'],
    ['max(vec4<f32>(0.0), 1.0 - t * t)', '1.0 - t * t'],
  ),
  ...inFile(
    'common/reduce.wgsl',
    RMS_NORM,
    ['sum += partial[i]', 'sum -= partial[i]'],
    ['sum += partial_of_partials[i]', 'sum -= partial_of_partials[i]'],
  ),
  ...inFile(
    'common/reduce.wgsl',
    CROSS_ENTROPY,
    ['max(largest, partial[i])', 'min(largest, partial[i])'],
    ['max(largest, partial_of_partials[i])', 'min(largest, partial_of_partials[i])'],
  ),
  ...matrixMutants,
];
