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

/** A linear that the checkpoint holds in 4 bits already, as bitsandbytes does. */
export interface QuantizedInfo {
  readonly quantType: 'nf4' | 'fp4';
  /** Whether absmax is in 8 bits. */
  readonly doubleQuant: boolean;
  /** Bytes of codes; `read` gives them. */
  readonly codeBytes: number;
  readonly blocks: number;
}

export interface QuantizedScales {
  /** A byte a block with double quantization, else f32. */
  readonly absmax: Uint8Array<ArrayBuffer>;
  readonly nested: { readonly offset: number; readonly absmax: Float32Array<ArrayBuffer> } | null;
}

export interface WeightSource {
  /** Undefined when the checkpoint has no such tensor. */
  info(name: string): WeightInfo | undefined;
  /** Bytes [begin, end) of the tensor, little-endian, row-major. */
  read(name: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Undefined for a tensor that is not in 4 bits; then `info` tells of it. */
  quantized?(name: string): QuantizedInfo | undefined;
  /** Scales of a linear in 4 bits, checked against its shape and the tables that it must have been made with. */
  scales?(
    name: string,
    shape: readonly number[],
    tables: { readonly codes: Float32Array; readonly scales: Float32Array },
  ): Promise<QuantizedScales>;
}
