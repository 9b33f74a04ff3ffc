/** Every kernel's benches, in the order of the report: what multiplies first. */
import { benches as adamw } from '../kernels/adamw.bench.ts';
import { benches as attention } from '../kernels/attention.bench.ts';
import { benches as attentionDecode } from '../kernels/attention_decode.bench.ts';
import { benches as crossEntropy } from '../kernels/cross_entropy.bench.ts';
import { benches as dora } from '../kernels/dora.bench.ts';
import { benches as dropout } from '../kernels/dropout.bench.ts';
import { benches as embedding } from '../kernels/embedding.bench.ts';
import { benches as headNorm } from '../kernels/head_norm.bench.ts';
import { benches as int8Quantize } from '../kernels/int8_quantize.bench.ts';
import { benches as lowRank } from '../kernels/low_rank.bench.ts';
import { benches as matmulDense } from '../kernels/matmul_dense.bench.ts';
import { benches as matmulNf4 } from '../kernels/matmul_nf4.bench.ts';
import { benches as matvecDense } from '../kernels/matvec_dense.bench.ts';
import { benches as matvecNf4 } from '../kernels/matvec_nf4.bench.ts';
import { benches as nf4Quantize } from '../kernels/nf4_quantize.bench.ts';
import { benches as rmsNorm } from '../kernels/rms_norm.bench.ts';
import { benches as rmsNormBackward } from '../kernels/rms_norm_backward.bench.ts';
import { benches as rope } from '../kernels/rope.bench.ts';
import { benches as softCap } from '../kernels/soft_cap.bench.ts';
import { benches as swiglu } from '../kernels/swiglu.bench.ts';
import type { KernelBench } from './kernel_bench.ts';

export const allBenches: readonly KernelBench[] = [
  ...matmulNf4,
  ...matmulDense,
  ...lowRank,
  ...dora,
  ...dropout,
  ...matvecNf4,
  ...matvecDense,
  ...attention,
  ...attentionDecode,
  ...crossEntropy,
  ...rmsNorm,
  ...rmsNormBackward,
  ...headNorm,
  ...softCap,
  ...swiglu,
  ...rope,
  ...embedding,
  ...adamw,
  ...nf4Quantize,
  ...int8Quantize,
];
