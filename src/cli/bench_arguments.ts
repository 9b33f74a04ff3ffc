/** The words of `npm run bench`. */
import {
  BENCH_KINDS,
  type BenchBatch,
  type BenchKind,
  type BenchRequest,
  PAGING_TIERS,
} from '../worker/bench_report.ts';
import { UsageError } from './usage_error.ts';

export interface BenchInvocation {
  readonly command: 'bench';
  readonly bench: BenchRequest;
  /** Where the report goes, and an older one to compare with. */
  readonly json: string | undefined;
  readonly compare: string | undefined;
}

export const BENCH_USAGE = `  npm run bench -- [kernels|train|generate|load|models|paging|streaming]… [--json FILE] [--compare OLD.json] [--runtime …] [--adapter …]
      Measures the device's ceilings, then kernels, training steps, generation and loading against them; all four by default.
      models: loads each model of a published shape from made-up weights, does three steps of 1x512 (checkpointed) and compares
      memory with what was predicted; exit code 1 where losses do not fall or memory is off by more than 5 %
      paging: SmolLM2-135M with LoRA r 256 on all linears, the moments within 100, 25 and 5 % of their size on the GPU, with and
      without host memory, 1, 4 and 16 micro-batches a step, pages of several sizes, beside what each tier moves
      streaming: a 1.7B shape with 600 MB for its weights, layers passing through, beside all of them on the GPU
      --size small|full       shapes (default: small where a CPU plays the GPU)
      --samples N             of a kernel (default 7)
      --only NAME,…           kernels whose name contains one of these
      --variant KEY=VALUE,…   forces variants of matmuls, such as tile=LARGE,splits=2; parts=N cuts every dispatch of a
                              step into so many (1: none); stored=f16|f32 what activations are in memory (default:
                              as --precision). parity takes all, and keep_layers=N and precision=f16
      --tune on|off           measure variants before training as the page does (default), or take them by rule
      --precision f32|f16     what matmuls round to (default: f16 where the device multiplies matrices)
      --model NAME,…          tiny, SmolLM2-135M, Llama-3.2-1B … (src/worker/bench_configs.ts)
      --batch ROWSxLENGTH,…   such as 1x512,4x512
      --checkpointing on|off|both
      --keep-layers N         so many layers keep their activations, the others compute them again
      --activation-budget N   as many layers keep them as fit in N MiB of activations and logits
      --steps N               timed steps (default 8)
      --rank N, --target-modules NAME,…   of LoRA (default 16, all-linear)
      --sweep                 train on one document of 512 … 8,192 tokens
      --accumulate N,…, --gpu N,…, --tiers host|tight|disk,…   of paging: these micro-batches a step, these per cent of the
                              moments on the GPU, these places for the rest (tight: host memory without room beside the
                              pages); any of them leaves page sizes and 8 bits out
      --peak-tflops N         what the maker promises: MFU is given against it too
      --toggles NAME,-NAME,…  Dawn toggles to turn on and off (both runtimes; timestamp_quantization is off by default)
      --flags=SWITCHES        Chromium's own switches`;

export const BENCH_OPTIONS = {
  size: { type: 'string' },
  samples: { type: 'string' },
  only: { type: 'string', multiple: true },
  variant: { type: 'string', multiple: true },
  model: { type: 'string', multiple: true },
  batch: { type: 'string', multiple: true },
  checkpointing: { type: 'string' },
  'keep-layers': { type: 'string' },
  'activation-budget': { type: 'string' },
  steps: { type: 'string' },
  tune: { type: 'string' },
  precision: { type: 'string' },
  rank: { type: 'string' },
  'target-modules': { type: 'string', multiple: true },
  sweep: { type: 'boolean' },
  accumulate: { type: 'string', multiple: true },
  gpu: { type: 'string', multiple: true },
  tiers: { type: 'string', multiple: true },
  'peak-tflops': { type: 'string' },
  toggles: { type: 'string' },
  flags: { type: 'string', multiple: true },
  json: { type: 'string' },
  compare: { type: 'string' },
} as const;

type Values = {
  readonly [K in keyof typeof BENCH_OPTIONS]?: (typeof BENCH_OPTIONS)[K] extends { type: 'boolean' }
    ? boolean
    : (typeof BENCH_OPTIONS)[K] extends { multiple: true }
      ? string[]
      : string;
};

/** Throws {@link UsageError}. */
export function parseBench(words: readonly string[], values: Values): BenchInvocation {
  const kinds = words.map((word) => {
    const kind = BENCH_KINDS.find((known) => known === word);
    if (!kind) throw new UsageError(`bench takes ${BENCH_KINDS.join(', ')}; not ${JSON.stringify(word)}.`);
    return kind;
  });
  if ([values.checkpointing, values['keep-layers'], values['activation-budget']].filter(Boolean).length > 1) {
    throw new UsageError('Give one of --checkpointing, --keep-layers and --activation-budget.');
  }
  const only = list(values.only);
  const targets = list(values['target-modules']);
  return {
    command: 'bench',
    json: values.json,
    compare: values.compare,
    bench: {
      kinds: kinds.length > 0 ? kinds : defaultKinds(values),
      size: choice('size', values.size, { small: 'small', full: 'full' } as const) ?? null,
      samples: count('samples', values.samples, 7),
      only,
      variant: variants(values.variant ?? []),
      models: list(values.model),
      batches: list(values.batch)?.map(batch) ?? null,
      checkpointing:
        choice('checkpointing', values.checkpointing, { on: [true], off: [false], both: [false, true] }) ?? null,
      keepLayers: values['keep-layers'] === '0' ? 0 : optionalCount('keep-layers', values['keep-layers']),
      activationMib: optionalCount('activation-budget', values['activation-budget']),
      steps: count('steps', values.steps, 8),
      tune: choice('tune', values.tune, { on: true, off: false } as const) ?? true,
      precision: choice('precision', values.precision, { f32: 'f32', f16: 'f16' } as const) ?? null,
      rank: count('rank', values.rank, 16),
      targetModules: targets === null || targets.includes('all-linear') ? 'all-linear' : targets,
      sweep: values.sweep ?? false,
      peakTflops: optionalCount('peak-tflops', values['peak-tflops']),
      paging: {
        accumulations: list(values.accumulate)?.map((text) => count('accumulate', text, 1)) ?? null,
        gpu: list(values.gpu)?.map((text) => count('gpu', text, 1)) ?? null,
        tiers: list(values.tiers)?.map((text) => tier(text)) ?? null,
      },
    },
  };
}

/** What an option is for says what is wanted. */
function defaultKinds({ sweep, only, variant }: Values): readonly BenchKind[] {
  if (sweep) return ['train'];
  return only || variant ? ['kernels'] : ['kernels', 'train', 'generate', 'load'];
}

/** Values of an option that is repeated, or lists several with commas; null where it was not given. */
function list(values: readonly string[] | undefined): string[] | null {
  return values ? values.flatMap((text) => text.split(',')).filter(Boolean) : null;
}

function batch(text: string): BenchBatch {
  const [, rows, length] = /^(\d+)[x×](\d+)$/.exec(text) ?? [];
  if (!Number(rows) || !Number(length)) {
    throw new UsageError(`--batch is ROWSxLENGTH, 4x512 for instance, not ${JSON.stringify(text)}.`);
  }
  return { rows: Number(rows), length: Number(length) };
}

function tier(text: string) {
  const found = PAGING_TIERS.find((known) => known === text);
  if (!found) throw new UsageError(`--tiers takes ${PAGING_TIERS.join(', ')}; not ${JSON.stringify(text)}.`);
  return found;
}

/** `KEY=VALUE` words, several in one with commas between. */
export function variants(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    (list(words) ?? []).map((pair) => {
      const [, key, value] = /^([^=]+)=(.+)$/.exec(pair) ?? [];
      if (!key) throw new UsageError(`--variant is KEY=VALUE, tile=LARGE for instance, not ${JSON.stringify(pair)}.`);
      return [key, value];
    }),
  );
}

function count(option: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new UsageError(`--${option} is a number from 1, not ${JSON.stringify(text)}.`);
  return Number(text);
}

const optionalCount = (option: string, text: string | undefined) =>
  text === undefined ? null : count(option, text, 0);

function choice<T>(option: string, text: string | undefined, choices: Readonly<Record<string, T>>): T | undefined {
  if (text === undefined) return undefined;
  if (!Object.hasOwn(choices, text)) {
    throw new UsageError(`--${option} is ${Object.keys(choices).join(' or ')}, not ${JSON.stringify(text)}.`);
  }
  return choices[text];
}
