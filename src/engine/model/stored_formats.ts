/** How a checkpoint holds its linears, by what its tensors are. */
import type { ModelSpec } from '../../formats/model_spec.ts';
import { type FloatLinears, linearPaths } from '../../formats/stored_linears.ts';
import type { WeightSource } from '../weight_source.ts';
import type { Quantization } from './quantizer.ts';

/** Linears of one checkpoint that are quantized in different ways, or floats of different kinds beside them. */
export class MixedQuantizationError extends Error {
  override name = 'MixedQuantizationError';
}

export interface StoredFormats extends Quantization {
  /** What is not in 4 bits. */
  readonly floats: FloatLinears | null;
}

/**
 * Null for a checkpoint that holds no linear in 4 bits.
 *
 * @throws MixedQuantizationError where those in 4 bits are so in different ways, or the others have several dtypes.
 */
export function storedFormats(spec: ModelSpec, source: WeightSource): StoredFormats | null {
  const found = linearPaths(spec).map((path) => {
    const quantized = source.quantized?.(`${path}.weight`) ?? null;
    // A tensor that is not there is missed when it is read.
    return { path, quantized, dtype: quantized ? null : (source.info(`${path}.weight`)?.dtype ?? null) };
  });
  const codes = found.filter(({ quantized }) => quantized !== null);
  const [first] = codes;
  if (!first?.quantized) return null;
  const { quantType, doubleQuant } = first.quantized;
  const text = ({ quantized, dtype }: (typeof found)[number]) =>
    quantized ? `${quantized.quantType}${quantized.doubleQuant ? ' with double quantization' : ''}` : `${dtype}`;
  const rest = found.filter(({ dtype }) => dtype !== null);
  for (const like of [codes, rest]) {
    const other = like.find((one) => text(one) !== text(like[0]));
    if (!other) continue;
    throw new MixedQuantizationError(
      `${like[0].path} is ${text(like[0])}, but ${other.path} is ${text(other)}: such mixtures cannot be trained. ` +
        'Choose the same model in 16 bit: it is quantized here.',
    );
  }
  const dtype = rest[0]?.dtype ?? null;
  return { quantType, doubleQuant, floats: dtype && { dtype, paths: rest.map(({ path }) => path) } };
}
