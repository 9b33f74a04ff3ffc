/** The paged optimizer: steps within smaller and smaller budgets, beside what each tier can move. */
import { measureTiers } from '../engine/bench/page_traffic.ts';
import { momentPageBytes } from '../engine/kernels/adamw.ts';
import { hasMatrices } from '../engine/kernels/matmul_tile.ts';
import { initialLora, loraRuns } from '../engine/model/lora.ts';
import { ModelWeights } from '../engine/model/weights.ts';
import type { GenerationStore } from '../engine/page_store.ts';
import type { TokenBatch } from '../engine/token_batch.ts';
import { KEEP_ALL } from '../engine/train/kept_layers.ts';
import type { MomentsOptions } from '../engine/train/paging/moments.ts';
import { pageElementsWithin } from '../engine/train/paging/pages.ts';
import { Trainer, type TrainerOptions } from '../engine/train/trainer.ts';
import { openGenerationStore } from '../storage/generation_store.ts';
import type { BenchContext } from './bench_context.ts';
import { benchModel, syntheticWeights } from './bench_models.ts';
import type { PagingChoice, PagingLine, PagingReport, PagingTier, TierLine } from './bench_report.ts';
import { meanLoss, randomRows, trainerOptions } from './bench_train.ts';

const SEED = 7;
const LEARNING_RATE = 2e-4;
const MIB = 2 ** 20;
/** Zeros are not moved, so the first step is not as the others. */
const WARM_UP = 2;
const STEPS = 3;

interface Plan {
  readonly bits: 8 | 32;
  readonly gpuShare: number;
  readonly tier: PagingTier;
  readonly pageBytes: number;
  readonly accumulation: number;
}

interface Sizes {
  readonly model: string;
  readonly rank: number;
  readonly batch: { readonly rows: number; readonly length: number };
  readonly accumulations: readonly number[];
  readonly pageBytes: number;
  readonly sweep: readonly number[];
  /** Host memory where moments go to the disk: pages on their way. Beside the pages themselves where it is tight. */
  readonly transitBytes: number;
}

const FULL: Sizes = {
  model: 'SmolLM2-135M',
  rank: 256,
  batch: { rows: 4, length: 512 },
  accumulations: [1, 4, 16],
  pageBytes: 4 * MIB,
  sweep: [MIB, 16 * MIB],
  transitBytes: 96 * MIB,
};
const SMALL: Sizes = {
  model: 'tiny',
  rank: 32,
  batch: { rows: 2, length: 32 },
  accumulations: [1, 2],
  pageBytes: MIB / 8,
  sweep: [MIB / 4],
  transitBytes: MIB / 2,
};

/** GPU budgets as shares of the moments. */
const SHARES = [0.25, 0.05];

/**
 * For each accumulation the resident run first. Page sizes and 8 bits at the middle accumulation and the least memory, unless
 * the table is to be a part.
 */
function plans({ accumulations: all, pageBytes, sweep }: Sizes, hasDisk: boolean, choice: PagingChoice): Plan[] {
  const tiers = (choice.tiers ?? (['host', 'disk'] as const)).filter((tier) => tier !== 'disk' || hasDisk);
  const accumulations = choice.accumulations ?? all;
  const shares = choice.gpu?.map((percent) => percent / 100).filter((share) => share < 1) ?? SHARES;
  const whole = choice.accumulations === null && choice.gpu === null && choice.tiers === null;
  const middle = accumulations[Math.min(1, accumulations.length - 1)];
  const least = SHARES[SHARES.length - 1];
  return accumulations.flatMap((accumulation) => {
    const common = { bits: 32, pageBytes, accumulation } as const;
    const within = shares.flatMap((gpuShare) => tiers.map((tier): Plan => ({ ...common, gpuShare, tier })));
    const swept = sweep.flatMap((size) =>
      tiers.map((tier): Plan => ({ ...common, gpuShare: least, tier, pageBytes: size })),
    );
    const narrow = [1, least].flatMap((gpuShare) =>
      (gpuShare === 1 ? (['host'] as const) : tiers).map((tier): Plan => ({ ...common, bits: 8, gpuShare, tier })),
    );
    return [
      { ...common, gpuShare: 1, tier: 'host' },
      ...within,
      ...(whole && accumulation === middle ? [...swept, ...narrow] : []),
    ];
  });
}

const PLACES = { host: 'in host memory', tight: 'in tight host memory', disk: 'on disk' };
const restOf = ({ gpuShare, tier }: Plan) => (gpuShare === 1 ? '' : `, rest ${PLACES[tier]}`);

const nameOf = (plan: Plan) =>
  `${plan.bits} bits, GPU ${100 * plan.gpuShare} %${restOf(plan)}, ` +
  `pages of ${plan.pageBytes / MIB} MiB, accumulation ${plan.accumulation}`;

export async function benchPaging(context: BenchContext): Promise<PagingReport> {
  const { gpu, request, signal, say, attempt, openDisk } = context;
  const sizes = context.size === 'small' ? SMALL : FULL;
  const spec = benchModel(sizes.model);
  say(`paging: loading ${sizes.model}`);
  const weights = await ModelWeights.load(gpu, spec, syntheticWeights(spec, SEED), { doubleQuant: true, signal });
  const precision = request.precision ?? (hasMatrices(gpu.capabilities) ? 'f16' : 'f32');
  const base = trainerOptions(gpu, { ...request, rank: sizes.rank, targetModules: 'all-linear' }, weights, {
    ...{ ...sizes.batch, keep: KEEP_ALL, precision },
  });
  const tensors = loraRuns(spec, base.lora).flat();
  // Made once: of so many parameters it takes a while.
  // By rule: one variant measured later than another would change the numbers.
  const options = { ...base, tune: null, adapter: initialLora(tensors, SEED, true) };
  const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const bench: Bench = { context, sizes, options, parameters, references: new Map() };
  const tiers: TierLine[] = [];
  const lines: PagingLine[] = [];
  for (const plan of plans(sizes, openDisk !== null, request.paging)) {
    if (signal.aborted) break;
    const name = nameOf(plan);
    const tier = tiers.find((known) => known.pageBytes === plan.pageBytes);
    const line = await attempt(`paging ${name}`, () =>
      withStore(openDisk, async (store) => {
        const measured = tier ?? (await tierLine(context, store, plan.pageBytes));
        if (!tier) tiers.push(measured);
        say(`paging ${name}`);
        return pagingLine(bench, plan, name, store, measured);
      }),
    );
    if (line) lines.push(line);
  }
  weights.dispose();
  return { model: sizes.model, rank: sizes.rank, parameters, ...sizes.batch, tiers, lines };
}

interface Bench {
  readonly context: BenchContext;
  readonly sizes: Sizes;
  readonly options: TrainerOptions;
  readonly parameters: number;
  /** Of the resident runs, by bits and accumulation. */
  readonly references: Map<string, { readonly ms: number; readonly figures: string }>;
}

async function withStore<T>(
  openDisk: BenchContext['openDisk'],
  use: (store: GenerationStore | null) => Promise<T>,
): Promise<T> {
  if (!openDisk) return use(null);
  const store = await openGenerationStore(await openDisk());
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

async function tierLine({ gpu, say, size }: BenchContext, store: GenerationStore | null, bytes: number) {
  say(`paging: what each tier moves, pages of ${bytes / MIB} MiB`);
  const all = size === 'small' ? 2 * MIB : 256 * MIB;
  return { pageBytes: bytes, ...(await measureTiers(gpu, store, { bytes, count: Math.ceil(all / bytes) })) };
}

async function pagingLine(
  { context, sizes, options, parameters, references }: Bench,
  plan: Plan,
  name: string,
  store: GenerationStore | null,
  tier: TierLine,
): Promise<PagingLine> {
  const { gpu } = context;
  const { bits, gpuShare, tier: place, accumulation } = plan;
  const elements = pageElementsWithin(bits, plan.pageBytes);
  const pageBytes = momentPageBytes(bits, elements);
  const all = (momentPageBytes(bits, 256) * parameters) / 256;
  const budgetBytes = gpuShare === 1 ? Number.MAX_SAFE_INTEGER : Math.max(2 * pageBytes, Math.floor(all * gpuShare));
  const hostBytes = {
    host: Number.MAX_SAFE_INTEGER,
    // Of the banks' last pages the end is unused.
    tight: Math.ceil(all * (1 - gpuShare)) + 4 * pageBytes + sizes.transitBytes,
    disk: sizes.transitBytes,
  }[place];
  const moments: MomentsOptions = { bits, paging: { pageBytes, gpuBytes: budgetBytes, hostBytes, store } };
  const { rows, length } = sizes.batch;
  const { vocabSize } = options.model.spec;
  const window = Array.from(
    { length: accumulation },
    (_, i): TokenBatch => randomRows(rows, length, vocabSize, SEED + i),
  );
  const trainer = await Trainer.create(gpu, { ...options, moments });
  const step = () => trainer.step(window, LEARNING_RATE);
  const idle = () => gpu.device.queue.onSubmittedWorkDone();
  let optimizerBytes = 0;
  let hostMost = 0;
  const look = () => {
    optimizerBytes = Math.max(optimizerBytes, gpu.ledger.byCategory().optimizer);
    hostMost = Math.max(hostMost, trainer.paging?.hostBytes ?? 0);
  };
  for (let i = 0; i < WARM_UP; i++) {
    await step();
    look();
  }
  await idle();
  const before = trainer.paging!;
  const started = performance.now();
  for (let i = 0; i < STEPS; i++) {
    await step();
    look();
  }
  await idle();
  const ms = (performance.now() - started) / STEPS;
  const after = trainer.paging!;
  const log = await trainer.readLog();
  trainer.dispose();
  const figures = log.map((entry) => `${meanLoss(entry)} ${entry.gradNorm}`).join();
  const key = `${bits} ${accumulation}`;
  if (gpuShare === 1) references.set(key, { ms, figures });
  const reference = references.get(key) ?? references.get(`32 ${accumulation}`);
  const each = (figure: 'bytesIn' | 'bytesOut' | 'storeRead' | 'storeWritten' | 'stallMs') =>
    (after[figure] - before[figure]) / STEPS;
  const [bytesIn, bytesOut, storeRead, storeWritten] = [
    each('bytesIn'),
    each('bytesOut'),
    each('storeRead'),
    each('storeWritten'),
  ];
  const residentMs = reference?.ms ?? ms;
  const gpuTierMs = Math.max(bytesIn, bytesOut) / 1e6 / tier.roundTrip;
  const storeMs =
    storeRead === 0 && storeWritten === 0
      ? 0
      : storeRead / 1e6 / (tier.storeRead ?? 1) + storeWritten / 1e6 / (tier.storeWrite ?? 1);
  return {
    name,
    bits,
    gpuShare,
    host: place !== 'disk',
    tier: place,
    pageBytes,
    accumulation,
    ms,
    residentMs,
    stallMs: each('stallMs'),
    ...{ bytesIn, bytesOut, storeRead, storeWritten },
    writtenGbAnHour: (storeWritten / 1e9) * (3.6e6 / ms),
    gpuTierMs,
    storeMs,
    ofBound: ms / Math.max(residentMs, gpuTierMs, storeMs),
    ofSum: ms / (residentMs + gpuTierMs + storeMs),
    optimizerBytes,
    budgetBytes: gpuShare === 1 ? optimizerBytes : budgetBytes,
    hostBytes: hostMost,
    same: figures === references.get(key)?.figures,
  };
}
