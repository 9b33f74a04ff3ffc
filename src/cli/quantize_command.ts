/** `npm run quantize`: a model's NF4 codes, tensor by tensor, against bitsandbytes' own. */
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import type { EventOf } from '../worker/protocol.ts';
import { show } from './parity_command.ts';
import { Progress } from './progress.ts';
import type { Runtime } from './runtime.ts';

/** What scripts/reference/bnb_vectors.py writes of a model. */
const hashesSchema = v.object({
  linears: v.record(
    v.string(),
    v.object({ packed: v.string(), absmax_f32: v.string(), absmax_u8_default_backend: v.string() }),
  ),
});

/** Host memory of this process that JavaScript holds: its heap and its array buffers. */
const hostBytes = () => {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

/** A JSON line on stdout. The exit code: 0 unless something differs or fails. */
export async function quantizeCommand(
  model: string,
  against: string | null,
  runtime: Runtime,
  stop: AbortSignal,
): Promise<number> {
  const expected = against === null ? null : v.parse(hashesSchema, JSON.parse(readFileSync(against, 'utf8'))).linears;
  const progress = new Progress();
  let code = 1;
  let peak = 0;
  await runtime.run(
    { type: 'quantize', runId: 'quantize', model: runtime.locate(model) },
    (event) => {
      peak = Math.max(peak, hostBytes());
      if (event.type === 'quantized') {
        progress.end();
        code = report(event, expected, peak);
      } else if (event.type === 'failed') {
        progress.end();
        progress.note(`${event.name}: ${event.message}`);
      } else show(event, progress);
    },
    stop,
  );
  return code;
}

function report(
  { tensors, seconds }: EventOf<'quantized'>,
  expected: v.InferOutput<typeof hashesSchema>['linears'] | null,
  peakHostBytes: number,
): number {
  const differing = { packed: 0, absmax: 0, absmaxBytes: 0 };
  if (expected === null) for (const tensor of tensors) console.log(JSON.stringify(tensor));
  else {
    for (const { name, packed, absmax, absmaxBytes } of tensors) {
      const theirs = expected[name];
      if (packed !== theirs?.packed) differing.packed++;
      if (absmax !== theirs?.absmax_f32) differing.absmax++;
      if (absmaxBytes !== theirs?.absmax_u8_default_backend) differing.absmaxBytes++;
    }
  }
  const missing = expected === null ? 0 : Math.abs(Object.keys(expected).length - tensors.length);
  const total = differing.packed + differing.absmax + differing.absmaxBytes + missing;
  console.log(JSON.stringify({ linears: tensors.length, differing, missing, seconds, peakHostBytes }));
  return total === 0 ? 0 : 1;
}
