/**
 * A run behind the protocol: whatever happens, exactly one of `finished`, `parity`, `quantized`, `benched` and `failed`
 * ends it.
 */
import { parityRun } from './parity_run.ts';
import type { WorkerPorts } from './ports.ts';
import type { RunCommand, WorkerEvent } from './protocol.ts';
import { quantizeRun } from './quantize_run.ts';
import { RunFailure, trainRun } from './train_run.ts';

/** The events that end a run well. */
const SUCCESSES: ReadonlySet<WorkerEvent['type']> = new Set(['finished', 'parity', 'quantized', 'benched']);

/** The run was stopped before there was anything to keep. */
class StoppedError extends Error {
  override name = 'StoppedError';
  constructor() {
    super('Stopped before the first step was done: nothing was trained. Start again when you like.');
  }
}

/**
 * Runs a command to its end; never rejects. Aborting the signal stops a training run after the step in flight.
 */
export async function runCommand(
  command: RunCommand,
  emit: (event: WorkerEvent) => void,
  ports: WorkerPorts,
  signal: AbortSignal,
): Promise<void> {
  // The last event waits until the GPU is given back: what fails there must not follow a success.
  let last: WorkerEvent | null = null;
  const hold = (event: WorkerEvent) => {
    if (SUCCESSES.has(event.type)) last = event;
    else emit(event);
  };
  try {
    switch (command.type) {
      case 'train':
        await trainRun(command, hold, ports, signal);
        break;
      case 'parity':
        await parityRun(command, hold, ports, signal);
        break;
      case 'quantize':
        await quantizeRun(command, hold, ports, signal);
        break;
      case 'bench': {
        // A part of its own: the page's self-test has this worker too, and no use for this.
        const { benchRun } = await import('./bench_run.ts');
        await benchRun(command, hold, ports, signal);
        break;
      }
      default:
        command satisfies never;
    }
    if (last) emit(last);
  } catch (error) {
    emit(failure(command.runId, signal.aborted && error === signal.reason ? new StoppedError() : error));
  }
}

function failure(runId: string, error: unknown): WorkerEvent {
  if (!(error instanceof Error)) return { type: 'failed', runId, name: 'Error', message: String(error) };
  const { name, message } = error;
  const files = error instanceof RunFailure ? error.files : undefined;
  return { type: 'failed', runId, name, message, ...(files && { files }) };
}
