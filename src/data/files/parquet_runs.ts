/**
 * The runs of a Parquet page (parquet-format, "Run Length Encoding / Bit-Packing Hybrid"), checked before they are written out: a run of
 * six bytes may claim a billion values, and an array that grows to them ends the whole process.
 */

/** What of a data page decides where its runs are. */
export interface RunPage {
  /** The page's own bytes; of version 2 those of the levels, which lie before the values, are never packed. */
  readonly packed: Uint8Array;
  /** Of version 1 the whole page, of version 2 what follows the levels. */
  readonly unpack: (packed: Uint8Array) => Uint8Array;
  readonly values: number;
  /** Whether values are places in a dictionary. */
  readonly dictionary: boolean;
  /** Bytes of repetition and definition levels, of version 2; in version 1 they stand before each. */
  readonly levelBytes: readonly [repetition: number, definition: number] | null;
}

/** The deepest that a column's values may lie, as its schema has it; a level of 0 is not written. */
export interface Levels {
  readonly repetition: number;
  readonly definition: number;
}

/** @throws RangeError when a run goes on past the page's values, or past its bytes */
export function checkRuns(page: RunPage, levels: Levels): void {
  const { packed, values, levelBytes, dictionary } = page;
  const depths = [levels.repetition, levels.definition];
  let rest: Uint8Array;
  if (levelBytes) {
    let at = 0;
    for (const [i, depth] of depths.entries()) {
      if (depth > 0) check(packed.subarray(at), bitsOf(depth), values);
      at += levelBytes[i];
    }
    rest = dictionary ? page.unpack(packed.subarray(at)) : new Uint8Array();
  } else {
    rest = page.unpack(packed);
    for (const depth of depths) {
      if (depth === 0) continue;
      if (rest.length < 4) throw new RangeError('a page is cut off');
      const length = new DataView(rest.buffer, rest.byteOffset).getUint32(0, true);
      check(rest.subarray(4), bitsOf(depth), values);
      rest = rest.subarray(4 + length);
    }
  }
  // A width of no bits stands for zeros alone, without runs.
  if (dictionary && rest.length > 0 && rest[0] > 0) check(rest.subarray(1), rest[0], values);
}

const bitsOf = (depth: number) => 32 - Math.clz32(depth);

/** Runs until there are as many values, or no bytes are left. */
function check(runs: Uint8Array, bits: number, values: number): void {
  let at = 0;
  for (let seen = 0; seen < values && at < runs.length; ) {
    let head = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= runs.length || scale > 2 ** 35) throw new RangeError('a run is cut off');
      const byte = runs[at++];
      head += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    const count = Math.floor(head / 2);
    if (head % 2 === 1) {
      // Groups of eight, the last of them filled up.
      seen += count * 8;
      at += count * bits;
      if (count * 8 > values + 504) throw tooLong(count * 8, values);
    } else {
      seen += count;
      at += Math.ceil(bits / 8);
      if (seen > values) throw tooLong(count, values);
    }
  }
}

function tooLong(count: number, values: number): RangeError {
  return new RangeError(`a run claims ${count} of a page’s ${values} values`);
}
