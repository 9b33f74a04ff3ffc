/**
 * Linears that a checkpoint holds in 4 bits already, as bitsandbytes saves them (`*-bnb-4bit` on the Hub): the tensors
 * beside a weight, by key suffix. Which linears are so is decided by the tensors, not by config.json's skip list.
 */
import type { SafetensorsTensor } from './safetensors.ts';
import { SafetensorsError } from './safetensors.ts';

export type QuantType = 'nf4' | 'fp4';

/** What the headers say of a linear in 4 bits. */
export interface QuantizedHeader {
  readonly quantType: QuantType;
  /** Of absmax, in bytes of 8 bits. */
  readonly doubleQuant: boolean;
  /** Bytes of codes: two elements each. */
  readonly codeBytes: number;
  readonly blocks: number;
}

/** Double quantization's second level. */
export interface NestedScales {
  /** The mean that was subtracted. */
  readonly offset: number;
  /** f32, one a block of 256 blocks. */
  readonly absmax: Float32Array<ArrayBuffer>;
}

const QUANT_TYPES: readonly QuantType[] = ['nf4', 'fp4'];
const BLOCK = 64;
const NESTED_BLOCK = 256;
/** Bytes of a quant state: some hundreds in fact. */
const STATE_CAP = 100_000;

type Tensors = ReadonlyMap<
  string,
  SafetensorsTensor & { readonly file: { readonly source: { readonly name: string } } }
>;
type Read = (name: string, begin: number, end: number) => Promise<Uint8Array<ArrayBuffer>>;

const stateKey = (name: string, type: QuantType) => `${name}.quant_state.bitsandbytes__${type}`;
const sizeOf = ({ begin, end }: SafetensorsTensor) => end - begin;

/**
 * Undefined for a weight that is no 4-bit one. Throws {@link SafetensorsError} when a tensor that belongs to it is missing or
 * has the wrong size.
 */
export function quantizedHeader(tensors: Tensors, name: string): QuantizedHeader | undefined {
  const weight = tensors.get(name);
  const quantType = QUANT_TYPES.find((type) => tensors.has(stateKey(name, type)));
  if (weight === undefined || quantType === undefined) return undefined;
  const fail = (problem: string): never => {
    throw new SafetensorsError(weight.file.source.name, `tensor ${problem}`, 'Download the model again.');
  };
  const absmax = tensors.get(`${name}.absmax`) ?? fail(`${name}.absmax is missing`);
  if (absmax.dtype !== 'U8' && absmax.dtype !== 'F32')
    fail(`${name}.absmax has the dtype ${absmax.dtype}, not U8 or F32`);
  const doubleQuant = absmax.dtype === 'U8';
  const blocks = sizeOf(absmax) / (doubleQuant ? 1 : 4);
  const codeBytes = sizeOf(weight);
  // Where the last byte has one element, the count of elements is one less.
  const fits = [2 * codeBytes, 2 * codeBytes - 1].some((elements) => Math.ceil(elements / BLOCK) === blocks);
  if (!fits) fail(`${name} has ${codeBytes} bytes of codes, but ${blocks} absmax: blocks must have ${BLOCK} elements`);
  if (doubleQuant) {
    const nested = tensors.get(`${name}.nested_absmax`) ?? fail(`${name}.nested_absmax is missing`);
    if (nested.dtype !== 'F32' || sizeOf(nested) !== Math.ceil(blocks / NESTED_BLOCK) * 4) {
      fail(`${name}.nested_absmax is not one F32 for each ${NESTED_BLOCK} of ${blocks} blocks`);
    }
  }
  return { quantType, doubleQuant, codeBytes, blocks };
}

/** Does it hold a weight of this shape? The shape itself is in the quant state, which lies among the weights. */
export function holdsShape({ codeBytes, blocks }: QuantizedHeader, shape: readonly number[]): boolean {
  const elements = shape.reduce((a, b) => a * b, 1);
  return Math.ceil(elements / 2) === codeBytes && Math.ceil(elements / BLOCK) === blocks;
}

/**
 * Reads and checks a 4-bit weight's quant state; its second level, or null without double quantization. Rejects with
 * {@link SafetensorsError} for blocks, tables or shapes other than those that are supported.
 *
 * @param tables the code book of the type, and the map of 8-bit scales
 */
export async function readNestedScales(
  tensors: Tensors,
  read: Read,
  name: string,
  shape: readonly number[],
  tables: { readonly codes: Float32Array; readonly scales: Float32Array },
): Promise<NestedScales | null> {
  const header = quantizedHeader(tensors, name);
  const source = tensors.get(name)?.file.source.name ?? name;
  const fail = (problem: string): never => {
    throw new SafetensorsError(
      source,
      `tensor ${name}: ${problem}`,
      'Choose the model in 16 bit: it is quantized here.',
    );
  };
  if (header === undefined) return fail('it is not quantized by bitsandbytes');
  const bytesOf = (key: string, cap: number) => {
    const tensor = tensors.get(key) ?? fail(`${key} is missing`);
    if (sizeOf(tensor) > cap) fail(`${key} has ${sizeOf(tensor)} bytes, which is no quant state`);
    return read(key, 0, sizeOf(tensor));
  };
  const floatsOf = async (key: string, cap: number) => new Float32Array((await bytesOf(key, cap)).slice().buffer);
  const checkTable = async (key: string, table: Float32Array) => {
    const found = await floatsOf(key, table.length * 4);
    // Older releases rounded some entries otherwise; what reads a checkpoint has its own table.
    const same = found.length === table.length && found.every((value, i) => Math.abs(value - table[i]) < 1e-4);
    if (!same) fail(`${key} is another table than bitsandbytes' own`);
  };
  const state =
    parseState(await bytesOf(stateKey(name, header.quantType), STATE_CAP)) ?? fail('its quant_state is damaged');
  const expect = (field: string, value: unknown) => {
    if (state[field] !== value)
      fail(`${field} is ${JSON.stringify(state[field])}, but must be ${JSON.stringify(value)}`);
  };
  expect('quant_type', header.quantType);
  expect('blocksize', BLOCK);
  const found = state.shape;
  if (!Array.isArray(found) || found.length !== shape.length || found.some((n, i) => n !== shape[i])) {
    fail(`its quant_state says shape ${JSON.stringify(found)}, expected [${shape.join(', ')}]`);
  }
  await checkTable(`${name}.quant_map`, tables.codes);
  if (!header.doubleQuant) return null;
  expect('nested_blocksize', NESTED_BLOCK);
  const offset = state.nested_offset;
  if (typeof offset !== 'number' || !Number.isFinite(offset)) return fail('nested_offset is not a number');
  await checkTable(`${name}.nested_quant_map`, tables.scales);
  return { offset, absmax: await floatsOf(`${name}.nested_absmax`, Number.POSITIVE_INFINITY) };
}

function parseState(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const state: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return typeof state === 'object' && state !== null ? (state as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
