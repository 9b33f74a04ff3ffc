/** How shaders/common/float_dtypes.wgsl numbers dtypes, and how wide they are. */
import type { FloatDtype } from '../weight_source.ts';

export const DTYPE_CODE: Readonly<Record<FloatDtype, number>> = { F32: 0, F16: 1, BF16: 2 };
export const DTYPE_BYTES: Readonly<Record<FloatDtype, number>> = { F32: 4, F16: 2, BF16: 2 };

/** What the embedding and the head may be held in: the checkpoint's dtype, or signed bytes with a scale a block. */
export type TableDtype = FloatDtype | 'I8';

/** A table or some of its rows. */
export interface TableFormat {
  readonly dtype: TableDtype;
  /** Of I8: the word at which the scales begin. */
  readonly scalesAt?: number;
}

/** A shader's constants for 4-bit linears (common/nf4.wgsl) among which some may be in floats. */
export const floatsConstants = (floats: FloatDtype | null): { FLOATS: boolean; DTYPE?: number } =>
  floats ? { FLOATS: true, DTYPE: DTYPE_CODE[floats] } : { FLOATS: false };

/** Elements of a dtype in the 16 bytes that a kernel reads at once. */
export const elementsARead = (dtype: FloatDtype): number => 16 / DTYPE_BYTES[dtype];

/** A shader's constants for a table: BYTES chooses shaders/common/signed_bytes.wgsl. */
export const tableConstants = (dtype: TableDtype) => ({
  DTYPE: dtype === 'I8' ? 0 : DTYPE_CODE[dtype],
  BYTES: dtype === 'I8',
});
