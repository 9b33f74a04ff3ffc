/** Checkpoints in 4 bits, made of what this quantizes itself. */
import type { ModelSpec } from '../../formats/model_spec.ts';
import type { Gpu } from '../device/gpu.ts';
import { randomWeights } from '../train/testing.ts';
import type { WeightInfo, WeightSource } from '../weight_source.ts';
import { ModelWeights, type QuantizedTensor } from './weights.ts';

/** The upper halves of f32 numbers. */
const truncated = (bytes: Uint8Array<ArrayBuffer>) =>
  new Uint8Array(Uint16Array.from(new Uint32Array(bytes.buffer), (word) => word >>> 16).buffer);

/**
 * The linears of random weights in NF4 with double quantization, as `*-bnb-4bit` checkpoints have them, except those of
 * these module paths, which are in bf16. Counts what is read by tensor.
 */
export async function quantizedSource(
  gpu: Gpu,
  spec: ModelSpec,
  inFloats: readonly string[] = [],
): Promise<{ source: WeightSource; reads: Map<string, number> }> {
  const floats = randomWeights(spec, 1);
  const left = new Set(inFloats.map((path) => `${path}.weight`));
  const model = await ModelWeights.load(gpu, spec, floats, { doubleQuant: true });
  const tensors = new Map<string, QuantizedTensor>();
  for await (const tensor of model.quantized()) {
    if (!left.has(`${tensor.name}.weight`)) tensors.set(`${tensor.name}.weight`, tensor);
  }
  model.dispose();
  const reads = new Map<string, number>();
  const halved = ({ shape, byteLength }: WeightInfo): WeightInfo => ({
    ...{ dtype: 'BF16', shape, byteLength: byteLength / 2 },
  });
  const source: WeightSource = {
    info(name) {
      const info = tensors.has(name) ? undefined : floats.info(name);
      return info && left.has(name) ? halved(info) : info;
    },
    async read(name, begin, end) {
      reads.set(name, (reads.get(name) ?? 0) + 1);
      if (left.has(name)) return truncated(await floats.read(name, 2 * begin, 2 * end));
      const tensor = tensors.get(name);
      return tensor ? Uint8Array.from(tensor.packed.subarray(begin, end)) : floats.read(name, begin, end);
    },
    quantized(name) {
      const tensor = tensors.get(name);
      return (
        tensor && {
          quantType: 'nf4',
          doubleQuant: true,
          codeBytes: tensor.packed.length,
          blocks: tensor.absmax.length,
        }
      );
    },
    async scales(name) {
      const { absmax, nestedAbsmax, nestedOffset } = tensors.get(name)!;
      return {
        absmax: Uint8Array.from(absmax),
        nested: { offset: nestedOffset!, absmax: Float32Array.from(nestedAbsmax!) },
      };
    },
  };
  return { source, reads };
}
