/** How shaders/common/float_dtypes.wgsl numbers dtypes, and how wide they are. */
import type { FloatDtype } from '../weight_source.ts';

export const DTYPE_CODE: Readonly<Record<FloatDtype, number>> = { F32: 0, F16: 1, BF16: 2 };
export const DTYPE_BYTES: Readonly<Record<FloatDtype, number>> = { F32: 4, F16: 2, BF16: 2 };
