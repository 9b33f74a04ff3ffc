/** Does a checkpoint hold what a spec needs? Asked before the weights are downloaded: only headers are looked at. */

import { layerLinears, type ModelSpec } from './model_spec.ts';
import { holdsShape, type QuantizedHeader } from './quant_state.ts';

export interface ExpectedTensor {
  readonly name: string;
  /** A linear of a layer: it may be in 4 bits. */
  readonly linear?: boolean;
  readonly shape: readonly number[];
}

/** The part of a weight source that is needed here. */
interface TensorShapes {
  info(name: string): { readonly shape: readonly number[] } | undefined;
  quantized?(name: string): QuantizedHeader | undefined;
}

/** A tensor that the model needs is absent or has another shape. */
export class CheckpointShapeError extends Error {
  override name = 'CheckpointShapeError';
  readonly tensor: string;
  constructor(tensor: string, problem: string) {
    super(`Tensor ${tensor} ${problem}. The weights do not belong to this config.json: download the model again.`);
    this.tensor = tensor;
  }
}

/** Every tensor that the spec needs: embedding, layers in order, final norm, and the head unless it is tied. */
export function expectedTensors(spec: ModelSpec): ExpectedTensor[] {
  const { hiddenSize, vocabSize, attention, tensors } = spec;
  const expected: ExpectedTensor[] = [{ name: tensors.embedding, shape: [vocabSize, hiddenSize] }];
  for (const layer of spec.layers.keys()) {
    const prefix = `${tensors.layerPrefix}${layer}.`;
    for (const [role, name] of Object.entries(spec.norm.names)) {
      if (name === null) continue;
      const width = role === 'query' || role === 'key' ? attention.headDim : hiddenSize;
      expected.push({ name: `${prefix}${name}.weight`, shape: [width] });
    }
    for (const { name, inFeatures, outFeatures, bias } of layerLinears(spec)) {
      expected.push({ name: `${prefix}${name}.weight`, shape: [outFeatures, inFeatures], linear: true });
      if (bias) expected.push({ name: `${prefix}${name}.bias`, shape: [outFeatures] });
    }
  }
  expected.push({ name: tensors.finalNorm, shape: [hiddenSize] });
  // A tied model's file may hold a head all the same (some exporters write it): it is not looked at.
  if (!spec.tiedHead) expected.push({ name: tensors.head, shape: [vocabSize, hiddenSize] });
  return expected;
}

/**
 * Throws {@link CheckpointShapeError} for the first tensor that is missing or has another shape than the spec says, and
 * what `source.info` throws for one of a dtype that weights cannot have. Further tensors are ignored.
 */
export function checkCheckpoint(spec: ModelSpec, source: TensorShapes): void {
  for (const { name, shape, linear } of expectedTensors(spec)) {
    const quantized = linear && source.quantized?.(name);
    if (quantized) {
      if (holdsShape(quantized, shape)) continue;
      const { codeBytes, blocks } = quantized;
      throw new CheckpointShapeError(
        name,
        `has ${codeBytes} bytes of codes in ${blocks} blocks; expected ${text(shape)}`,
      );
    }
    const found = source.info(name)?.shape;
    if (found === undefined) throw new CheckpointShapeError(name, `is missing; expected with shape ${text(shape)}`);
    if (found.length !== shape.length || found.some((dimension, i) => dimension !== shape[i])) {
      throw new CheckpointShapeError(name, `has shape ${text(found)}; expected ${text(shape)}`);
    }
  }
}

function text(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}
