/** `npm run parity`: golden cases against PyTorch, one after the other. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type ForcedVariant, variantText } from '../worker/parity_siblings.ts';
import type { WorkerEvent } from '../worker/protocol.ts';
import { describeData, describeDispatches, describeMemory, describeMisses, parityLine } from './describe.ts';
import { Progress } from './progress.ts';
import type { Runtime } from './runtime.ts';

/** A JSON line a case and variant on stdout, everything else on stderr. The exit code: 0 when all pass. */
export async function parityCommand(
  cases: readonly string[],
  variants: readonly ForcedVariant[],
  runtime: Runtime,
  stop: AbortSignal,
): Promise<number> {
  let failures = 0;
  for (const variant of variants) {
    for (const directory of cases) {
      if (stop.aborted) return 130;
      const outcome = await runCase(directory, variant, runtime, stop);
      // Of all siblings a device has those that it has room for.
      if (outcome === 'failed' || (outcome === 'unavailable' && variants.length === 1)) failures++;
    }
  }
  return failures === 0 ? 0 : 1;
}

async function runCase(
  directory: string,
  variant: ForcedVariant,
  runtime: Runtime,
  stop: AbortSignal,
): Promise<'passed' | 'failed' | 'unavailable'> {
  const name = path.basename(directory);
  const progress = new Progress();
  const forced = variantText(variant);
  const fail = (problem: string, message: string, pass: false | null = false) => {
    progress.end();
    progress.note(`${problem}: ${message}`);
    console.log(
      JSON.stringify({
        case: name,
        ...(forced && { variant: forced }),
        pass,
        maxLossRelError: null,
        error: problem,
        message,
      }),
    );
    return 'failed' as const;
  };
  progress.note(`case ${name}${forced && `, ${forced}`}`);
  if (!existsSync(path.join(directory, 'case.json'))) {
    return fail('ParityCaseError', `${directory} has no case.json. Give the folder of a golden case.`);
  }
  let outcome: 'passed' | 'failed' | 'unavailable' = 'failed';
  await runtime.run(
    { type: 'parity', runId: name, base: runtime.locate(directory), variant },
    (event) => {
      if (event.type === 'parity') outcome = report(event.report, forced, progress) ? 'passed' : 'failed';
      else if (event.type === 'failed') {
        const unavailable = event.name === 'VariantUnavailableError';
        fail(event.name, event.message, unavailable ? null : false);
        if (unavailable) outcome = 'unavailable';
      } else show(event, progress);
    },
    stop,
  );
  return outcome;
}

/** What is the same for every run: device, data, loading, memory, steps. */
export function show(event: WorkerEvent, progress: Progress): void {
  switch (event.type) {
    case 'device':
      progress.note(`adapter: ${event.adapter.name}`);
      break;
    case 'data':
      for (const line of describeData(event)) progress.note(line);
      break;
    case 'loading':
      progress.loading(event.loadedBytes, event.totalBytes);
      break;
    case 'memory':
      progress.end();
      progress.note(describeMemory(event));
      break;
    case 'step':
      progress.step({
        step: event.record.step,
        totalSteps: event.totalSteps,
        loss: event.record.loss,
        learningRate: event.record.learning_rate,
        tokensPerSecond: event.tokensPerSecond,
      });
      break;
    case 'evaluation':
      progress.note(`evaluation after step ${event.step}: loss ${event.loss.toFixed(4)} over ${event.tokens} tokens`);
      break;
    default:
      break;
  }
}

function report(
  parity: Extract<WorkerEvent, { type: 'parity' }>['report'],
  variant: string,
  progress: Progress,
): boolean {
  progress.end();
  for (const line of describeMisses(parity)) progress.note(line);
  const passed = parity.checks.filter(({ pass }) => pass).length;
  progress.note(
    `${parity.pass ? 'PASS' : 'FAIL'} ${parity.case}: ${passed} of ${parity.checks.length} checks, ` +
      `largest loss error ${parity.maxLossRelError.toExponential(2)}, ${parity.seconds.toFixed(1)} s on ${parity.adapter}`,
  );
  progress.note('dispatches in the training steps:');
  for (const line of describeDispatches(parity.dispatches)) progress.note(line);
  console.log(parityLine(parity, variant));
  return parity.pass;
}
