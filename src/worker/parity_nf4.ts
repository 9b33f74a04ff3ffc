/** Are the quantized linears bitsandbytes' to the bit? */
import type { ModelWeights } from '../engine/model/weights.ts';
import type { ParityCase } from './parity_case.ts';
import { check, LIMITS, largest, mismatches, nameMismatches, relativeError } from './parity_checks.ts';
import type { ParityCheck } from './protocol.ts';

const FIELDS = /\.(packed|absmax|nested_absmax|nested_offset)$/;

export async function nf4Checks(
  model: Pick<ModelWeights, 'quantized'>,
  nf4: ParityCase['nf4'],
): Promise<ParityCheck[]> {
  const names = new Set<string>();
  const codes: number[] = [];
  const absmax: number[] = [];
  const nested: number[] = [];
  for await (const tensor of model.quantized()) {
    const theirs = (field: string) => nf4.get(`${tensor.name}.${field}`) ?? [];
    names.add(tensor.name);
    codes.push(mismatches(tensor.packed, theirs('packed')));
    absmax.push(mismatches(tensor.absmax, theirs('absmax')));
    if (tensor.nestedAbsmax === null) continue;
    const nestedAbsmax = theirs('nested_absmax');
    const offset = theirs('nested_offset')[0] ?? Number.NaN;
    nested.push(
      tensor.nestedAbsmax.length === nestedAbsmax.length ? 0 : Number.POSITIVE_INFINITY,
      // What is left of absmax when their mean is taken off: as exact as the mean.
      ...Array.from(nestedAbsmax, (value, i) => {
        const ours = tensor.nestedAbsmax?.[i] ?? Number.NaN;
        return ours === value ? 0 : Math.abs(ours - value) / (Math.abs(offset) + Math.abs(value));
      }),
      relativeError(tensor.nestedOffset ?? Number.NaN, offset),
    );
  }
  const expected = new Set([...nf4.keys()].map((key) => key.replace(FIELDS, '')));
  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
  return [
    check('NF4: linears', nameMismatches(names, expected), 0),
    check('NF4: bytes of codes that differ', sum(codes), 0),
    check('NF4: absmax that differ', sum(absmax), 0),
    ...(nested.length > 0 ? [check('NF4: nested absmax and offset', largest(nested), LIMITS.nested)] : []),
  ];
}
