/**
 * The port through which the engine gets a model's tensors. Implemented over a checkpoint folder by the worker; later
 * also over the local cache.
 */

export type FloatDtype = 'F32' | 'F16' | 'BF16';

export interface WeightInfo {
  readonly dtype: FloatDtype;
  readonly shape: readonly number[];
  /** Bytes of the whole tensor. */
  readonly byteLength: number;
}

export interface WeightSource {
  /** Undefined when the checkpoint has no such tensor. */
  info(name: string): WeightInfo | undefined;
  /** Bytes [begin, end) of the tensor, little-endian, row-major. */
  read(name: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}
