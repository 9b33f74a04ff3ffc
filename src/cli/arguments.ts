/** The command line's words → what to do. */
import { parseArgs } from 'node:util';
import { type ForcedVariant, PARITY_SIBLINGS } from '../worker/parity_siblings.ts';
import { BENCH_OPTIONS, BENCH_USAGE, type BenchInvocation, parseBench, variants } from './bench_arguments.ts';
import { ADAPTERS, type Adapter } from './chromium_flags.ts';
import { UsageError } from './usage_error.ts';

export { UsageError };

export const RUNTIMES = ['chromium', 'node'] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

export interface RuntimeOptions {
  readonly runtime: RuntimeName;
  /** Undefined: SwiftShader in Chromium, so that a result does not depend on the machine; the system's GPU in Node. */
  readonly adapter: Adapter | undefined;
  /** Dawn toggles for Node, as its `create` takes them. */
  readonly dawnToggles: readonly string[];
  /** Dawn toggles by name for either runtime, those to turn off with a minus. */
  readonly toggles?: readonly string[];
  /** Chromium's own switches. */
  readonly flags?: readonly string[];
}

export type Invocation =
  | ({
      readonly command: 'parity';
      readonly cases: readonly string[];
      /** What is forced, one after the other: nothing, once, unless asked for. */
      readonly variants: readonly ForcedVariant[];
    } & RuntimeOptions)
  | ({
      readonly command: 'train';
      readonly config: string;
      readonly out: string | undefined;
      /** Goes on from the newest checkpoint in `out`. */
      readonly resume: boolean;
    } & RuntimeOptions)
  | ({ readonly command: 'quantize'; readonly model: string; readonly against: string | undefined } & RuntimeOptions)
  | (BenchInvocation & RuntimeOptions)
  | {
      readonly command: 'serve';
      readonly directory: string;
      readonly port: number | undefined;
      readonly open: boolean;
    }
  | { readonly command: 'help' };

export const USAGE = `Usage:
  npm start -- [--port N] [--no-open]
      Builds the page and serves it on localhost.

  npm run parity -- CASE_DIR… [--variant KEY=VALUE,…|all] [--runtime chromium|node] [--adapter ADAPTER]
      Trains each golden case and compares it with PyTorch. Prints a JSON line a case; exit code 1 on a miss.
      --variant forces kernels' variants as for bench, and limits=default WebGPU's default limits, rules=gpu a GPU's choices on
      a software adapter; all takes every sibling in turn.

  npm run train -- RUN.json [--out DIR] [--resume] [--runtime chromium|node] [--adapter ADAPTER]
      Trains headless. Writes DIR/log.jsonl, DIR/adapter/ (PEFT) and DIR/checkpoint/, and where RUN.json has samples their
      answers to DIR/samples.jsonl. Ctrl-C keeps what was trained, a second one quits at once. --resume goes on from the
      newest checkpoint in DIR, whatever ended the run.

  npm run quantize -- MODEL_DIR [--against HASHES.json] [--runtime chromium|node] [--adapter ADAPTER]
      Quantizes a model's linears to NF4 and prints a SHA-256 a tensor; with --against (scripts/reference/bnb_vectors.py)
      compares them with bitsandbytes', exit code 1 where one differs.

${BENCH_USAGE}

  --runtime   chromium (default): headless Chromium; node: Dawn in Node
  --adapter   ${ADAPTERS.join(', ')} (default: swiftshader in chromium, system in node)
  --dawn-toggle NAME   passed to Dawn (node only), may be repeated`;

const OPTIONS = {
  ...BENCH_OPTIONS,
  runtime: { type: 'string' },
  adapter: { type: 'string' },
  'dawn-toggle': { type: 'string', multiple: true },
  out: { type: 'string' },
  against: { type: 'string' },
  resume: { type: 'boolean' },
  port: { type: 'string' },
  'no-open': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Options that a command takes beside its words. */
const ALLOWED: Readonly<Record<string, readonly (keyof typeof OPTIONS)[]>> = {
  parity: ['runtime', 'adapter', 'dawn-toggle', 'variant'],
  train: ['runtime', 'adapter', 'dawn-toggle', 'out', 'resume'],
  quantize: ['runtime', 'adapter', 'dawn-toggle', 'against'],
  bench: ['runtime', 'adapter', 'dawn-toggle', ...(Object.keys(BENCH_OPTIONS) as (keyof typeof BENCH_OPTIONS)[])],
  serve: ['port', 'no-open'],
};

/** Throws {@link UsageError}. */
export function parseInvocation(argv: readonly string[]): Invocation {
  const [command = '', ...words] = argv;
  if (command === 'help' || command === '--help' || command === '-h') return { command: 'help' };
  const allowed = ALLOWED[command];
  if (!allowed) throw new UsageError(`There is no command ${JSON.stringify(command)}.`);
  const { values, positionals } = parse(words);
  if (values.help) return { command: 'help' };
  const stray = Object.keys(values).find((name) => !(allowed as readonly string[]).includes(name));
  if (stray) throw new UsageError(`${command} has no option --${stray}.`);
  switch (command) {
    case 'parity':
      if (positionals.length === 0) throw new UsageError('parity needs at least one case folder.');
      return { command, cases: positionals, variants: parityVariants(values.variant), ...runtimeOptions(values) };
    case 'train': {
      const [config, ...rest] = positionals;
      if (config === undefined || rest.length > 0) throw new UsageError('train needs one RUN.json.');
      return { command, config, out: values.out, resume: values.resume ?? false, ...runtimeOptions(values) };
    }
    case 'quantize': {
      const [model, ...rest] = positionals;
      if (model === undefined || rest.length > 0) throw new UsageError('quantize needs one model folder.');
      return { command, model, against: values.against, ...runtimeOptions(values) };
    }
    case 'bench':
      return { ...parseBench(positionals, values), ...runtimeOptions(values), ...benchToggles(values) };
    default: {
      const [directory, ...rest] = positionals;
      if (directory === undefined || rest.length > 0) throw new UsageError(`start takes no word ${rest[0] ?? ''}.`);
      return { command: 'serve', directory, port: portNumber(values.port), open: !values['no-open'] };
    }
  }
}

const parityVariants = (words: readonly string[] = []): readonly ForcedVariant[] =>
  words.length === 1 && words[0] === 'all' ? PARITY_SIBLINGS : [variants(words)];

function parse(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function runtimeOptions(values: { runtime?: string; adapter?: string; 'dawn-toggle'?: string[] }): RuntimeOptions {
  return {
    runtime: oneOf('runtime', values.runtime ?? 'chromium', RUNTIMES),
    adapter: values.adapter === undefined ? undefined : oneOf('adapter', values.adapter, ADAPTERS),
    dawnToggles: values['dawn-toggle'] ?? [],
  };
}

/** Timestamps as exact as the GPU has them, unless the words say otherwise: it changes no speed. */
function benchToggles(values: { toggles?: string; flags?: string[] }): Pick<RuntimeOptions, 'toggles' | 'flags'> {
  const asked = (values.toggles ?? '').split(',').filter(Boolean);
  const quantization = asked.some((name) => name.replace(/^-/, '') === 'timestamp_quantization');
  return {
    toggles: [...asked, ...(quantization ? [] : ['-timestamp_quantization'])],
    flags: (values.flags ?? []).flatMap((text) => text.split(/\s+/)).filter(Boolean),
  };
}

function oneOf<T extends string>(option: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined)
    throw new UsageError(`--${option} is ${choices.join(' or ')}, not ${JSON.stringify(value)}.`);
  return found;
}

function portNumber(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535)
    throw new UsageError(`--port is a number up to 65535, not ${JSON.stringify(text)}.`);
  return port;
}
