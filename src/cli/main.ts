/** The command line's entry, as scripts/*.mjs call it after they have installed and built what is missing. */
import path from 'node:path';
import {
  type Invocation,
  parseInvocation,
  type RuntimeName,
  type RuntimeOptions,
  USAGE,
  UsageError,
} from './arguments.ts';
import { benchCommand, readReport } from './bench_command.ts';
import { dawnToggleOptions, toggleFlags } from './chromium_flags.ts';
import { chromiumRuntime } from './chromium_runtime.ts';
import { INTERRUPTED, onInterrupt } from './interrupts.ts';
import { nodeRuntime } from './node_runtime.ts';
import { parityCommand } from './parity_command.ts';
import { quantizeCommand } from './quantize_command.ts';
import type { Runtime } from './runtime.ts';
import { serveCommand } from './serve_command.ts';
import { readRunConfig, trainCommand } from './train_command.ts';

const USAGE_ERROR = 2;

interface Environment {
  /** The headless bundle's folder; needed for `--runtime chromium`. */
  readonly headlessPage?: string | null;
}

/** Which runtime the words ask for: null when none is needed, or they are not understood. */
export function runtimeOf(argv: readonly string[]): RuntimeName | null {
  try {
    const invocation = parseInvocation(argv);
    return 'runtime' in invocation ? invocation.runtime : null;
  } catch {
    return null;
  }
}

/** Returns the exit code; errors are printed as `Name: message`. */
export async function main(argv: readonly string[], environment: Environment = {}): Promise<number> {
  try {
    return await execute(parseInvocation(argv), environment);
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    console.error(`${name}: ${message}`);
    if (!(error instanceof UsageError)) return 1;
    console.error(`\n${USAGE}`);
    return USAGE_ERROR;
  }
}

async function execute(invocation: Invocation, environment: Environment): Promise<number> {
  switch (invocation.command) {
    case 'help':
      console.log(USAGE);
      return 0;
    case 'serve':
      return serveCommand(invocation.directory, invocation.port, invocation.open);
    case 'parity': {
      const cases = invocation.cases.map(fromHere);
      return withRuntime(invocation, environment, (runtime, stop) =>
        parityCommand(cases, invocation.variants, runtime, stop),
      );
    }
    case 'train': {
      const file = fromHere(invocation.config);
      const config = readRunConfig(file);
      const out = fromHere(invocation.out ?? path.join('runs', config.name.replace(/[^\w.-]+/g, '-')));
      const run = { config, directory: path.dirname(file), out, resume: invocation.resume };
      return withRuntime(invocation, environment, (runtime, stop) => trainCommand(run, runtime, stop));
    }
    case 'quantize': {
      const model = fromHere(invocation.model);
      const against = invocation.against === undefined ? null : fromHere(invocation.against);
      return withRuntime(invocation, environment, (runtime, stop) => quantizeCommand(model, against, runtime, stop));
    }
    case 'bench': {
      const { json, compare } = invocation;
      // Read first: an hour's measuring should not end with a file that is not there.
      const old = compare === undefined ? null : readReport(fromHere(compare));
      const files = { json: json && fromHere(json), old };
      return withRuntime(invocation, environment, (runtime, stop) => benchCommand(invocation, files, runtime, stop));
    }
    default:
      return invocation satisfies never;
  }
}

/** `npm run` changes to the repository's folder; paths are relative to where it was called. */
const fromHere = (file: string) => path.resolve(process.env.INIT_CWD ?? process.cwd(), file);

async function withRuntime(
  options: RuntimeOptions,
  { headlessPage }: Environment,
  use: (runtime: Runtime, stop: AbortSignal) => Promise<number>,
): Promise<number> {
  const controller = new AbortController();
  const interrupts = onInterrupt(() => controller.abort());
  try {
    const runtime = await startRuntime(options, headlessPage ?? null);
    try {
      return controller.signal.aborted ? INTERRUPTED : await use(runtime, controller.signal);
    } finally {
      await runtime.close();
    }
  } finally {
    interrupts.dispose();
  }
}

async function startRuntime(options: RuntimeOptions, headlessPage: string | null): Promise<Runtime> {
  const { runtime, adapter, dawnToggles, toggles = [], flags = [] } = options;
  if (runtime === 'node') {
    if (flags.length > 0) throw new UsageError('--flags is for --runtime chromium.');
    return nodeRuntime({ adapter: adapter ?? 'system', toggles: [...dawnToggles, ...dawnToggleOptions(toggles)] });
  }
  if (dawnToggles.length > 0) throw new UsageError('--dawn-toggle is for --runtime node.');
  if (headlessPage === null) throw new Error('The headless page was not built: start with npm run.');
  return chromiumRuntime(headlessPage, adapter ?? 'swiftshader', [...toggleFlags(toggles), ...flags]);
}
