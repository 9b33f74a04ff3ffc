/** Which examples are held out for validation. */
import { permutation } from './random.ts';

export interface Split {
  /** Numbers of examples, ascending. */
  readonly training: Uint32Array;
  readonly validation: Uint32Array;
}

/** Another stream of the seed's generator than the epochs' shuffles use. */
const SPLIT_STREAM = 0x5eed;

/**
 * Holds out about `share` of the examples, chosen by `seed`. Examples of one group (`groups[i]`: the first that equals
 * example i) stay on one side, so that none is trained on and validated with; at least one group is left to train on.
 */
export function splitExamples(groups: ArrayLike<number>, share: number, seed: number): Split {
  const total = groups.length;
  const wanted = Math.round(total * share);
  const held = new Uint8Array(total);
  if (wanted > 0) {
    const members = new Map<number, number[]>();
    const sizes = new Uint32Array(total);
    for (let i = 0; i < total; i++) sizes[groups[i]]++;
    for (let i = 0; i < total; i++) {
      if (sizes[groups[i]] < 2) continue;
      const others = members.get(groups[i]);
      if (others) others.push(i);
      else members.set(groups[i], [i]);
    }
    let count = 0;
    for (const example of permutation(total, seed, SPLIT_STREAM)) {
      if (count >= wanted) break;
      if (held[example]) continue;
      const group = members.get(groups[example]) ?? [example];
      if (count + group.length >= total) continue;
      for (const member of group) held[member] = 1;
      count += group.length;
    }
  }
  const numbers = (side: number) => Uint32Array.from(indices(held, side));
  return { training: numbers(0), validation: numbers(1) };
}

function* indices(held: Uint8Array, side: number): Generator<number> {
  for (let i = 0; i < held.length; i++) if (held[i] === side) yield i;
}
