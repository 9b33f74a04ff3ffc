/**
 * For every WGSL file, changes of one operator or index that a reader could overlook, and the kernel case that notices
 * each. A file without mutants fails the test, so a new kernel comes with its own.
 */

export interface Mutant {
  /** Below shaders/. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** The name of the kernel case that fails. */
  readonly caughtBy: string;
}

/** Pairs of find and replace for one file, all noticed by one case. */
const inFile = (file: string, caughtBy: string, ...changes: readonly (readonly [string, string])[]): Mutant[] =>
  changes.map(([find, replace]) => ({ file, find, replace, caughtBy }));

const ATTENTION = '130 of 131, 6/2 × 8 window 33 3 documents';
const ATTENTION_ODD = '35 of 36, 4/2 × 10 2 documents';
const ATTENTION_WIDE = '261 of 263, 3/1 × 16 window 150 2 documents WIDE prefetch';
const ATTENTION_SPLIT = 'attention_backward 261 of 263, 3/1 × 8 window 150 2 documents 3 parts 4 rotated';
const RMS_NORM = 'rms_norm 7 of 7 × 33 of size 0.001';
const CROSS_ENTROPY = 'cross_entropy 63 of 70 × 33, ±5 gradient';
const GRAD_NORM = 'grad_norm of 4095 + 4096 + 4097, at most 0.3';
const ADAMW = 'adamw 1000, step 7, clip 0.3, decay 0.1, gradients of 1';
const ADAMW_TINY = 'adamw 65, step 3, clip 1, decay 0, gradients of 1e-8, from zero';
const GRADIENT = 'matmul_gradient SMALL 1 × 7 of 7 × 65 × 2';
const DENSE_COLUMNS = 'matmul_dense SMALL F32 7 of 7 × 65 → 33 × 2 columns';
const DOUBLE = 'double_quantize 255 uniform';
const ROPE = 'rope 7 of 7 × 4+1 heads of 16, 16 rotated, inverse';
const RECIPROCAL = 'exact_reciprocal of 200,000 values';
const QUOTIENT = 'exact_quotient of 20,000 sums';
const TWO_SHARDS = 'embedding BF16 7 of 7 × 63 × 25.25 two shards';
const EVERY_HALF = 'embedding F16 every finite value';
const FOLDED = 'embedding F32 65600 of 65600 × 1';
const ALIGNED = 'matmul_nf4 SMALL 7 of 7, 33×100 double bias';
const ALIGNED_LORA = 'matmul_nf4 SMALL 63 of 63, 130×132 rank 8 residual';
const SINGLE = 'matmul_nf4 SMALL 7 of 7, 65×33 bias accumulated';
const SINGLE_DX = 'matmul_nf4 SMALL 65 of 65, 63×130 transposed rank 20 residual';

export const mutants: readonly Mutant[] = [
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
    ['step.decay - step.step_size', 'step.decay + step.step_size'],
  ),
  ...inFile('adamw.wgsl', ADAMW_TINY, ['+ step.epsilon', '- step.epsilon']),
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
    ['c == u32(target_id)', 'c != u32(target_id)'],
    ['exp(logits[base + c] - top) / sum', 'exp(logits[base + c] - top) * sum'],
    ['log(sum) + (top - wanted)', 'log(sum) - (top - wanted)'],
    ['wanted == top', 'wanted != top'],
  ),
  ...inFile('cross_entropy.wgsl', 'cross_entropy 1000 of 1000 × 7, ±5 gradient', ['target_id < 0', 'target_id <= 0']),
  ...inFile('embedding.wgsl', EVERY_HALF, ['id < params.first_row', 'id <= params.first_row']),
  ...inFile(
    'embedding.wgsl',
    TWO_SHARDS,
    ['* params.scale', '+ params.scale'],
    ['(id - params.first_row) * params.width', 'id * params.width'],
  ),
  ...inFile('grad_norm.wgsl', GRAD_NORM, ['sqrt(sum)', 'sum'], ['min(1.0,', 'max(1.0,'], ['+ 2u]', '+ 1u]']),
  ...inFile('grad_norm.wgsl', 'grad_norm of 65, at most 0.000001', [
    '(norm + 1e-6)), finite',
    '(norm - 1e-6)), finite',
  ]),
  ...inFile('grad_norm.wgsl', 'grad_norm with a gradient of NaN', [
    '0x7f800000u) != 0x7f800000u',
    '0x7f800000u) != 0u',
  ]),
  ...inFile('adamw.wgsl', 'adamw 300, skipped', ['clip[0] < 0.0', 'clip[0] < -1.0']),
  ...inFile(
    'grad_norm_partials.wgsl',
    GRAD_NORM,
    ['gradients[i] * gradients[i]', 'gradients[i] + gradients[i]'],
    ['params.first_partial + span', 'span'],
  ),
  ...inFile('grad_norm_partials.wgsl', 'grad_norm of 100003, at most 1', ['(span + 1u) * SPAN', '(span + 2u) * SPAN']),
  ...inFile(
    'loss_sum.wgsl',
    'loss_sum 63 of 65, slot 3, micro-batch 1',
    ['loss[t * 2u + 1u]', 'loss[t * 2u]'],
    ['step.micro_batch == 0u', 'step.micro_batch != 0u'],
    ['step.log_slot * LOG_FIELDS', 'step.log_slot + LOG_FIELDS'],
  ),
  ...inFile(
    'matmul_dense.wgsl',
    DENSE_COLUMNS,
    ['] = value[{e}] * params.scale', '] = value[{e}] + params.scale'],
    ['m * params.x_stride + params.x_at', 'm * params.x_stride'],
    ['let at = n * params.depth + k', 'let at = n * params.width + k'],
  ),
  ...inFile('matmul_dense.wgsl', 'matmul_dense SMALL BF16 65 of 65 × 40 → 37 transposed rows 60 + 20', [
    'step.tokens - min(step.tokens, params.first_token)',
    'step.tokens',
  ]),
  ...inFile('matmul_dense.wgsl', 'matmul_dense SMALL BF16 65 of 80 × 130 → 100 accumulated × 0.5', [
    '+= value[{e}]',
    '-= value[{e}]',
  ]),
  ...inFile(
    'matmul_gradient.wgsl',
    GRADIENT,
    ['+= value[{e}]', '-= value[{e}]'],
    ['] * params.scale', '] + params.scale'],
  ),
  ...inFile(
    'matmul_gradient.wgsl',
    'matmul_gradient NARROW_16 63 × 63 of 70 × 16 × 1 columns',
    ['k * params.p_stride + params.p_at', 'k * params.p_stride'],
    ['k * params.q_stride + params.q_at', 'k * params.q_stride - params.q_at'],
    ['g[m * params.width', 'g[m * params.height'],
  ),
  ...inFile(
    'matmul_nf4.wgsl',
    ALIGNED_LORA,
    ['sum += residual[', 'sum -= residual['],
    ['params.lora_scale * vec4', 'params.lora_scale + vec4'],
    ['whole_depth + params.rank', 'whole_depth'],
  ),
  ...inFile(
    'matmul_nf4.wgsl',
    ALIGNED,
    ['params.bias_at + n + {e}u', 'params.bias_at + n'],
    ['let at = n * params.depth + k', 'let at = n * params.width + k'],
  ),
  ...inFile(
    'matmul_nf4.wgsl',
    SINGLE_DX,
    ['let at = k * params.width + n', 'let at = k * params.depth + n'],
    ['let i = k * params.width + n', 'let i = n * params.rank + k'],
  ),
  ...inFile('matmul_nf4.wgsl', SINGLE, ['y[at] += sum', 'y[at] -= sum']),
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
    ['/ f32(params.width)', '* f32(params.width)'],
  ),
  ...inFile(
    'rms_norm_backward.wgsl',
    'rms_norm_backward 7 of 7 × 33, accumulated',
    ['* scale - x[row + c]', '* scale + x[row + c]'],
    ['scale * scale * scale / width', 'scale * scale / width'],
    ['+= gradient', '-= gradient'],
  ),
  ...inFile(
    'rope.wgsl',
    ROPE,
    ['a * c - b * s', 'a * c + b * s'],
    ['b * c + a * s', 'a * c + b * s'],
    ['positions[token]', 'token'],
    ['sines[angle] * params.sign', 'sines[angle]'],
  ),
  ...inFile(
    'swiglu.wgsl',
    'swiglu 7 of 9 × 33',
    ['sigmoid(gate) * gate_up', 'sigmoid(gate) + gate_up'],
    ['gate_up[at + params.width]', 'gate_up[at]'],
  ),
  ...inFile(
    'swiglu_backward.wgsl',
    'swiglu_backward 7 of 9 × 33',
    ['(1.0 - s)', '(1.0 + s)'],
    ['dy[index] * gate * s', 'dy[index] * s'],
    ['dy[index] * up * s', 'dy[index] * s'],
  ),
  ...inFile(
    'common/activation.wgsl',
    'swiglu 65 of 70 × 64, gates to ±100',
    ['x >= 0.0', 'x <= 0.0'],
    ['-abs(x)', 'abs(x)'],
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
    GRADIENT,
    ['a_{i}[{c}] * b_{j}', 'a_{i}[{k}] * b_{j}'],
    ['stage_b(block - A_BLOCKS', 'stage_b(block'],
  ),
  ...inFile('common/matmul_tile.wgsl', DENSE_COLUMNS, ['k0 += TILE_K', 'k0 += 2u * TILE_K'], ['row % 4u', 'row % 2u']),
  ...inFile(
    'common/matmul_tile.wgsl',
    'matmul_gradient LARGE 130 × 33 of 33 × 150 × 1',
    ['ty + {i}u * TY', 'ty + {i}u'],
    ['tx + {j}u * TX', 'tx + {j}u'],
  ),
  ...inFile(
    'common/nf4.wgsl',
    ALIGNED,
    ['(half >> 12u) & 15u', '(half >> 8u) & 15u'],
    ['(block & 3u) * 8u', '(block & 1u) * 8u'],
    ['* nested + bitcast', '* nested - bitcast'],
  ),
  ...inFile('common/nf4.wgsl', SINGLE, ['(i ^ 1u) & 7u', 'i & 7u'], ['let block = i >> 6u', 'let block = i >> 5u']),
  ...inFile('common/nf4.wgsl', 'matmul_nf4 FLAT_8 5 of 5, 150×260 double', [
    '1u + (block >> 8u)',
    '1u + (block >> 10u)',
  ]),
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
];
