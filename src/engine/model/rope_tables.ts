import type { RopeSpec } from '../../formats/model_spec.ts';
import type { Gpu } from '../device/gpu.ts';
import type { RopeTables } from '../kernels/rope.ts';
import { bufferTensor } from '../plan/tensor.ts';

/**
 * cos and sin of every position's angles, [positions, half]. The angle is an f32 product, as transformers computes it;
 * its cosine is taken in float64, as WGSL's own is good to 2^-11 only.
 */
export function ropeAngles(spec: RopeSpec, positions: number): { cosines: Float32Array; sines: Float32Array } {
  const half = spec.inverseFrequencies.length;
  const cosines = new Float32Array(positions * half);
  const sines = new Float32Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(p * Math.fround(spec.inverseFrequencies[i]));
      cosines[p * half + i] = Math.cos(angle) * spec.attentionScaling;
      sines[p * half + i] = Math.sin(angle) * spec.attentionScaling;
    }
  }
  return { cosines, sines };
}

export function createRopeTables(gpu: Gpu, spec: RopeSpec, positions: number): RopeTables {
  const { cosines, sines } = ropeAngles(spec, positions);
  const upload = (label: string, data: Float32Array) => {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
    const buffer = gpu.ledger.create({ label, size: data.byteLength, usage, category: 'weights' });
    gpu.device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
    return bufferTensor(label, buffer);
  };
  return {
    cosines: upload('RoPE cosines', cosines),
    sines: upload('RoPE sines', sines),
    half: spec.inverseFrequencies.length,
  };
}
