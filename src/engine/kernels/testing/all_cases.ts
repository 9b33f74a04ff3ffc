/** Every kernel's cases, for the suites that go through all of them. */
import { cases as adamw } from '../adamw.cases.ts';
import { cases as attention } from '../attention.cases.ts';
import { cases as attentionDecode } from '../attention_decode.cases.ts';
import { cases as crossEntropy } from '../cross_entropy.cases.ts';
import { cases as dora } from '../dora.cases.ts';
import { cases as dropout } from '../dropout.cases.ts';
import { cases as embedding } from '../embedding.cases.ts';
import { cases as exact } from '../exact.cases.ts';
import { cases as headNorm } from '../head_norm.cases.ts';
import { cases as int8Quantize } from '../int8_quantize.cases.ts';
import { cases as kvStore } from '../kv_store.cases.ts';
import { cases as lowRank } from '../low_rank.cases.ts';
import { cases as matmulDense } from '../matmul_dense.cases.ts';
import { cases as matmulNf4 } from '../matmul_nf4.cases.ts';
import { cases as matvecDense } from '../matvec_dense.cases.ts';
import { cases as matvecNf4 } from '../matvec_nf4.cases.ts';
import { cases as nf4Quantize } from '../nf4_quantize.cases.ts';
import { cases as pickLikeliest } from '../pick_likeliest.cases.ts';
import { cases as rmsNorm } from '../rms_norm.cases.ts';
import { cases as rmsNormBackward } from '../rms_norm_backward.cases.ts';
import { cases as rope } from '../rope.cases.ts';
import { cases as softCap } from '../soft_cap.cases.ts';
import { cases as swiglu } from '../swiglu.cases.ts';
import type { KernelCase } from './harness.ts';

export const allCases: readonly KernelCase[] = [
  ...adamw,
  ...attention,
  ...attentionDecode,
  ...crossEntropy,
  ...dora,
  ...dropout,
  ...embedding,
  ...exact,
  ...headNorm,
  ...int8Quantize,
  ...kvStore,
  ...matmulDense,
  ...lowRank,
  ...matmulNf4,
  ...matvecDense,
  ...matvecNf4,
  ...nf4Quantize,
  ...pickLikeliest,
  ...rmsNorm,
  ...rmsNormBackward,
  ...rope,
  ...softCap,
  ...swiglu,
];

/** The kernel a case is about: the first word of its name. */
export const kernelOf = ({ name }: KernelCase): string => name.split(' ')[0];

export function casesOf(kernel: string): KernelCase[] {
  const found = allCases.filter((kernelCase) => kernelOf(kernelCase) === kernel);
  if (found.length === 0) throw new Error(`no case is about ${kernel}`);
  return found;
}
