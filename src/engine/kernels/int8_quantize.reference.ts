/** Tables in 8 bits: f32 arithmetic by Math.fround, to the bit. */
const BLOCK = 64;
const SMALLEST = 2 ** -100;

export interface Int8Values {
  /** One a value, −127 … 127. */
  readonly codes: Int8Array<ArrayBuffer>;
  /** One f32 a block of 64. */
  readonly scales: Float32Array<ArrayBuffer>;
}

/** To nearest, half to even. */
function roundEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

export function int8Reference(values: Float32Array): Int8Values {
  const codes = new Int8Array(values.length);
  const scales = new Float32Array(Math.ceil(values.length / BLOCK));
  for (let b = 0; b < scales.length; b++) {
    const block = values.subarray(b * BLOCK, (b + 1) * BLOCK);
    const absmax = block.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    if (absmax < SMALLEST) continue;
    const factor = Math.fround(127 * Math.fround(1 / absmax));
    block.forEach((x, i) => {
      codes[b * BLOCK + i] = roundEven(Math.fround(x * factor));
    });
    scales[b] = Math.fround(absmax * Math.fround(1 / 127));
  }
  return { codes, scales };
}

/** The words of a table: four codes each, from the lowest byte, then the scales. */
export function packInt8({ codes, scales }: Int8Values): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(codes.length / 4) + scales.length);
  new Int8Array(words.buffer).set(codes);
  words.set(new Uint32Array(scales.buffer), words.length - scales.length);
  return words;
}

export const dequantizeInt8 = ({ codes, scales }: Int8Values): Float64Array<ArrayBuffer> =>
  Float64Array.from(codes, (code, i) => Math.fround(code * scales[Math.floor(i / BLOCK)]));
