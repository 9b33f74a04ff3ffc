/** Small and row-sharded tensors that are not quantized: decoding on the host, finiteness, upload in chunks. */
import { decodeFloats } from '../../formats/float_dtypes.ts';
import type { Gpu } from '../device/gpu.ts';
import type { FloatDtype, WeightSource } from '../weight_source.ts';

export class NonFiniteWeightsError extends Error {
  override name = 'NonFiniteWeightsError';
  constructor(tensor: string) {
    super(`${tensor} contains NaN or Inf, so training cannot work. Download the model again, or pick another one.`);
  }
}

export class MissingTensorError extends Error {
  override name = 'MissingTensorError';
  constructor(tensor: string) {
    super(`The checkpoint has no tensor ${tensor}. Check that all its files are there and belong together.`);
  }
}

/** Whether no element has an exponent of all ones. */
export function allFinite(bytes: Uint8Array<ArrayBuffer>, dtype: FloatDtype): boolean {
  if (dtype === 'F32') {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    for (let i = 0; i < words.length; i++) if ((words[i] & 0x7f800000) === 0x7f800000) return false;
    return true;
  }
  const mask = dtype === 'F16' ? 0x7c00 : 0x7f80;
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  for (let i = 0; i < halves.length; i++) if ((halves[i] & mask) === mask) return false;
  return true;
}

/** A whole small tensor (a norm, a bias) as f32. */
export async function readSmallTensor(source: WeightSource, name: string): Promise<Float32Array<ArrayBuffer>> {
  const info = source.info(name);
  if (!info) throw new MissingTensorError(name);
  const bytes = await source.read(name, 0, info.byteLength);
  if (!allFinite(bytes, info.dtype)) throw new NonFiniteWeightsError(name);
  return decodeFloats(info.dtype, bytes);
}

/** Pieces of a tensor in order, the next one being read while one is used. */
export async function* tensorChunks(
  source: WeightSource,
  name: string,
  begin: number,
  end: number,
  chunkBytes: number,
): AsyncGenerator<{ offset: number; bytes: Uint8Array<ArrayBuffer> }> {
  const read = (at: number) => source.read(name, at, Math.min(end, at + chunkBytes));
  let next = read(begin);
  for (let at = begin; at < end; at += chunkBytes) {
    const bytes = await next;
    if (at + chunkBytes < end) {
      next = read(at + chunkBytes);
      // Its rejection is handled when it is awaited, even if the consumer stops before.
      next.catch(() => undefined);
    }
    yield { offset: at - begin, bytes };
  }
}

/** Bytes uploaded at a time. */
const UPLOAD_BYTES = 8 * 2 ** 20;

/** Streams a tensor into a buffer as it is, from a byte on. */
export async function copyTensor(
  gpu: Gpu,
  source: WeightSource,
  name: string,
  buffer: GPUBuffer,
  at: number,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const info = source.info(name);
  if (!info) throw new MissingTensorError(name);
  for await (const { offset, bytes } of tensorChunks(source, name, 0, info.byteLength, UPLOAD_BYTES)) {
    if (!allFinite(bytes, info.dtype)) throw new NonFiniteWeightsError(name);
    writePadded(gpu, buffer, at + offset, bytes);
    await gpu.device.queue.onSubmittedWorkDone();
    onBytes(bytes.byteLength);
  }
}

/** A queue write is a multiple of 4 bytes; only a last odd half needs padding. */
export function writePadded(gpu: Gpu, buffer: GPUBuffer, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
  const { queue } = gpu.device;
  const whole = bytes.byteLength & ~3;
  if (whole > 0) queue.writeBuffer(buffer, offset, bytes, 0, whole);
  if (whole === bytes.byteLength) return;
  const tail = new Uint8Array(4);
  tail.set(bytes.subarray(whole));
  queue.writeBuffer(buffer, offset + whole, tail);
}
