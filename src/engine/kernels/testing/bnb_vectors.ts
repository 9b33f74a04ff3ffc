/** What bitsandbytes itself makes of small tensors with edges: e2e/golden/bnb-vectors (scripts/reference/bnb_vectors.py). */
import type { Gpu } from '../../device/gpu.ts';
import type { FloatDtype } from '../../weight_source.ts';
import { DYNAMIC_MAP, midpoints, type QuantType, quantizationTable } from '../nf4_codebook.ts';
import { doubleQuantize, nf4Quantize } from '../nf4_quantize.ts';
import { withBench } from './harness.ts';

export interface BnbVector {
  readonly name: string;
  readonly dtype: FloatDtype;
  readonly elements: number;
  /** The tensor's bytes, as a checkpoint has them. */
  readonly input: Uint8Array<ArrayBuffer>;
  /** Two codes a byte. */
  readonly packed: Uint8Array<ArrayBuffer>;
  readonly absmax: Float32Array<ArrayBuffer>;
  /** Double quantization of absmax. */
  readonly absmaxBytes: Uint8Array<ArrayBuffer>;
  readonly nestedAbsmax: Float32Array<ArrayBuffer>;
  readonly nestedOffset: number;
  /** Blocks and absmax values that bitsandbytes treats in its own way (REFERENCE.md §1). */
  readonly exemptBlocks: ReadonlySet<number>;
  readonly exemptAbsmax: ReadonlySet<number>;
}

interface Index {
  readonly tensors: Record<
    string,
    { elements: number; exempt_blocks: { block: number }[]; exempt_absmax_u8: number[] }
  >;
}

type Header = Record<string, { dtype: FloatDtype; data_offsets: [number, number] }>;

export function parseBnbVectors(indexJson: string, file: Uint8Array<ArrayBuffer>): BnbVector[] {
  const index: Index = JSON.parse(indexJson);
  const headerBytes = Number(new DataView(file.buffer).getBigUint64(0, true));
  const header: Header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerBytes)));
  const bytes = (key: string) => {
    const [begin, end] = header[key].data_offsets;
    return file.slice(8 + headerBytes + begin, 8 + headerBytes + end);
  };
  const floats = (key: string) => new Float32Array(bytes(key).buffer);
  return Object.entries(index.tensors).map(([name, { elements, exempt_blocks, exempt_absmax_u8 }]) => ({
    name,
    dtype: header[`${name}.input`].dtype,
    elements,
    input: bytes(`${name}.input`),
    packed: bytes(`${name}.packed`),
    absmax: floats(`${name}.absmax`),
    absmaxBytes: bytes(`${name}.absmax_u8`),
    nestedAbsmax: floats(`${name}.nested_absmax`),
    nestedOffset: floats(`${name}.nested_offset`)[0],
    exemptBlocks: new Set(exempt_blocks.map(({ block }) => block)),
    exemptAbsmax: new Set(exempt_absmax_u8),
  }));
}

/** Quantizes a vector's input on the GPU; see {@link differences}. */
export function quantizedDifferences(gpu: Gpu, type: QuantType, vector: BnbVector): Promise<string[]> {
  const { dtype, elements, input } = vector;
  const blocks = vector.absmax.length;
  const padded = new Uint8Array(Math.ceil(input.length / 4) * 4);
  padded.set(input);
  return withBench(gpu, {}, async (bench) => {
    const absmax = bench.output('absmax', blocks);
    const codes = bench.output('codes', Math.ceil(elements / 8));
    const quantized = bench.output('quantized', Math.ceil(blocks / 4));
    const nested = bench.output('nested', 1 + vector.nestedAbsmax.length);
    nf4Quantize(bench.plan, {
      source: bench.input('source', new Uint32Array(padded.buffer)),
      dtype,
      thresholds: bench.input('thresholds', quantizationTable(type)),
      codes,
      absmax,
      flags: bench.inout('flags', Uint32Array.of(0xffffffff)),
      elements,
      tensor: 0,
      firstWord: 0,
      firstBlock: 0,
    });
    const thresholds = bench.input('thresholds', midpoints(DYNAMIC_MAP));
    doubleQuantize(bench.plan, { absmax, thresholds, quantized, nested, blocks });
    await bench.run();
    const bytes = async (tensor: typeof codes) => new Uint8Array((await bench.words(tensor)).buffer);
    const floats = async (tensor: typeof codes) => new Float32Array((await bench.words(tensor)).buffer);
    const [offset, ...nestedAbsmax] = await floats(nested);
    return differences(
      vector,
      await bytes(codes),
      await floats(absmax),
      await bytes(quantized),
      offset,
      Float32Array.from(nestedAbsmax),
    );
  });
}

/** Names what in a quantization differs from bitsandbytes', exempt places aside; empty when nothing does. */
export function differences(
  vector: BnbVector,
  packed: Uint8Array,
  absmax: Float32Array,
  absmaxBytes: Uint8Array,
  offset: number,
  nestedAbsmax: Float32Array,
): string[] {
  const { exemptBlocks, exemptAbsmax } = vector;
  const found: string[] = [];
  vector.packed.forEach((byte, i) => {
    if (!exemptBlocks.has(i >> 5) && packed[i] !== byte) found.push(`codes ${2 * i}, ${2 * i + 1}`);
  });
  vector.absmax.forEach((value, i) => {
    if (!exemptBlocks.has(i) && absmax[i] !== value) found.push(`absmax ${i}`);
  });
  // Our statistics of exempt blocks differ, and with them everything nested.
  if (exemptBlocks.size > 0) return found;
  vector.absmaxBytes.forEach((byte, i) => {
    if (!exemptAbsmax.has(i) && absmaxBytes[i] !== byte) found.push(`absmax byte ${i}`);
  });
  // The order of summation of the mean is bitsandbytes' own.
  const near = (x: number, y: number, size: number) => Math.abs(x - y) <= 3e-7 * size;
  if (!near(offset, vector.nestedOffset, Math.abs(vector.nestedOffset))) found.push('nested offset');
  vector.nestedAbsmax.forEach((value, i) => {
    if (!near(nestedAbsmax[i], value, value + Math.abs(vector.nestedOffset))) found.push(`nested absmax ${i}`);
  });
  return found;
}
