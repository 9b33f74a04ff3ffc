/** A bench's report in words: who measured first, then the figures. */
import type {
  BenchCeilings,
  BenchDevice,
  BenchReport,
  GenerateLine,
  KernelLine,
  LoadLine,
  ModelLine,
  PagingReport,
  Spread,
  StreamingLine,
  TrainLine,
} from '../worker/bench_report.ts';
import { digits, percent, table } from './table.ts';

/** How the bench was run, beside what the worker knows. */
export interface BenchEnvironment {
  readonly runtime: string;
  readonly adapter: string;
  readonly toggles: readonly string[];
  readonly flags: readonly string[];
  /** Of the repository, where it is one. */
  readonly commit: string | null;
  readonly platform: string;
}

/** What `--json` writes. */
export interface BenchFile extends BenchReport {
  readonly environment: BenchEnvironment;
}

export function describeBench(file: BenchFile): string[] {
  const {
    device,
    environment,
    ceilings,
    kernels,
    train,
    generate = [],
    load,
    models = [],
    paging,
    streaming = [],
    failures,
    stopped,
    size,
  } = file;
  return [
    ...describeDevice(device, environment),
    '',
    ...describeCeilings(ceilings),
    ...(kernels.length > 0 ? ['', `kernels, ${size} shapes`, ...kernelTable(kernels)] : []),
    ...(train.length > 0 ? ['', 'train', ...trainTable(train), ...train.flatMap(describeTraining)] : []),
    ...(generate.length > 0
      ? ['', 'generate', ...generateTable(generate), ...generate.flatMap(describeGeneration)]
      : []),
    ...(load.length > 0 ? ['', 'load', ...loadTable(load)] : []),
    ...(models.length > 0 ? ['', 'models', ...modelTable(models)] : []),
    ...(paging ? ['', ...pagingTables(paging)] : []),
    ...(streaming.length > 0 ? ['', 'layer streaming', ...streamingTable(streaming)] : []),
    ...(failures.length > 0 ? ['', 'failed', ...failures.map(({ name, error }) => `  ${name}: ${error}`)] : []),
    ...(stopped ? ['', 'stopped before everything was measured'] : []),
  ];
}

function describeDevice(device: BenchDevice, environment: BenchEnvironment): string[] {
  const listed = (names: readonly string[]) => (names.length > 0 ? names.join(', ') : 'none');
  const { runtime, adapter, toggles, flags, commit, platform } = environment;
  return [
    `adapter: ${device.name}${device.software ? ' (software)' : ''}`,
    `features in use: ${listed(device.enabled)}`,
    `subgroup size ${device.subgroupSize ?? 'unknown'}; subgroup matrices: ${listed(device.subgroupMatrixConfigs)}`,
    `runtime: ${runtime}, adapter option ${adapter}; ${device.host}; ${platform}`,
    `toggles: ${listed(toggles)}; flags: ${listed(flags)}`,
    `commit: ${commit ?? 'unknown'}`,
  ];
}

function describeCeilings({ fma, copy, dispatchGpu, dispatchWall, encode, encodeBare, matrix }: BenchCeilings) {
  const unit = flopUnit(fma.median);
  const row = (name: string, spread: Spread, unit: string) => [name, digits(spread.median), unit, range(spread)];
  return table(
    ['ceilings', 'median', 'unit', 'min – max'],
    [
      row('f32 multiply-add in registers', timesFactor(fma, unit.factor), unit.name),
      row('copy, read + written', copy, 'GB/s'),
      ...(dispatchGpu ? [row('empty dispatch, GPU', dispatchGpu, 'µs')] : []),
      row('empty dispatch, clock', dispatchWall, 'µs'),
      row('encode a dispatch, CPU', encode, 'µs'),
      row('encode without pipeline and bind group', encodeBare, 'µs'),
      ...(matrix && 'median' in matrix ? [row('subgroup matrices f16→f32', matrix, 'TFLOP/s')] : []),
      ...(matrix && 'error' in matrix ? [['subgroup matrices', '', '', matrix.error.split('\n')[0].slice(0, 80)]] : []),
    ],
  );
}

const timesFactor = ({ median, min, max, samples }: Spread, factor: number): Spread => ({
  median: median * factor,
  min: min * factor,
  max: max * factor,
  samples,
});

const range = ({ min, max }: Spread) => `${digits(min)} – ${digits(max)}`;

/** Below it a GPU's clock has dropped since the ceilings were measured. */
const CLOCK_DROPPED = 0.9;

/** TFLOP/s, or GFLOP/s where a CPU plays the GPU and the others would begin with zeros. */
function flopUnit(fastest: number): { readonly name: string; readonly factor: number } {
  return fastest < 0.1 ? { name: 'GFLOP/s', factor: 1e3 } : { name: 'TFLOP/s', factor: 1 };
}

const clockNote = (clock: number | null) => (clock !== null && clock < CLOCK_DROPPED ? `clock ${percent(clock)}` : '');

function kernelTable(lines: readonly KernelLine[]): string[] {
  const unit = flopUnit(Math.max(...lines.map(({ tflops }) => tflops)));
  return table(
    ['kernel', 'ms', 'min – max', unit.name, 'GB/s', 'of ceiling', 'bound', 'timer', ''],
    lines.map((line) => [
      line.name,
      digits(line.ms.median),
      range(line.ms),
      digits(line.tflops * unit.factor),
      digits(line.gbs),
      percent(line.share),
      line.bound,
      line.timer,
      clockNote(line.clock),
    ]),
  );
}

function trainTable(lines: readonly TrainLine[]): string[] {
  return table(
    [
      'model, rows × length',
      'ms a step',
      'min – max',
      'pipelined',
      'tok/s',
      'MFU',
      'of peak',
      'dispatches',
      'a layer',
      'GPU GiB',
      '',
    ],
    lines.map((line) => [
      line.name,
      digits(line.ms.median),
      range(line.ms),
      digits(line.pipelinedMs),
      digits(line.tokensPerSecond),
      percent(line.mfu),
      line.mfuOfPeak === null ? '' : percent(line.mfuOfPeak),
      digits(line.dispatches),
      digits(line.dispatchesPerLayer),
      digits(line.peakBytes / 2 ** 30),
      clockNote(line.clock),
    ]),
  );
}

const KERNELS_SHOWN = 12;

function describeTraining(line: TrainLine): string[] {
  const memory = Object.entries(line.memory)
    .filter(([, bytes]) => bytes > 0)
    .map(([name, bytes]) => `${name} ${digits(bytes / 2 ** 20)}`);
  const gap = line.ms.median - line.profiledMs;
  const unit = flopUnit(Math.max(...line.kernels.map(({ tflops }) => tflops)));
  return [
    '',
    `${line.name}: loss ${line.firstLoss.toFixed(4)} → ${line.lastLoss.toFixed(4)}; made in ${digits(line.createSeconds)} s; layers with kept activations: ${line.keptLayers}`,
    `  memory at the peak, MiB: ${memory.join(', ')}`,
    `  CPU until a step is enqueued: ${digits(line.encodeMs.median)} ms (${range(line.encodeMs)})`,
    `  profiled dispatches: ${digits(line.profiledMs)} ms of ${digits(line.ms.median)} ms a step; the step takes ` +
      `${digits(Math.abs(gap))} ms ${gap >= 0 ? 'more (gaps between dispatches)' : 'less (dispatches overlap, or passes of their own cost)'}`,
    `  longest dispatch: ${line.longestDispatch.kernel}, ${digits(line.longestDispatch.ms)} ms`,
    `  attention: ${percent(line.attentionComputed)} of the operations, ${percent(line.attentionMeasured)} of the profiled time`,
    ...indent(
      table(
        ['group', 'ms', 'share', 'dispatches'],
        line.groups.map(({ group, ms, share, dispatches }) => [group, digits(ms), percent(share), digits(dispatches)]),
      ),
    ),
    ...indent(
      table(
        ['kernel', 'ms', 'dispatches', unit.name, 'group'],
        line.kernels
          .slice(0, KERNELS_SHOWN)
          .map(({ kernel, ms, dispatches, tflops, group }) => [
            kernel,
            digits(ms),
            digits(dispatches),
            digits(tflops * unit.factor),
            group,
          ]),
      ),
    ),
  ];
}

function generateTable(lines: readonly GenerateLine[]): string[] {
  return table(
    [
      'model, sequences × prompt',
      'prefill tok/s',
      'ms',
      'ms a step',
      'min – max',
      'waited',
      'tok/s',
      'GB/s',
      'of copy',
    ],
    lines.map((line) => [
      `${line.name} ${line.precision}`,
      digits(line.prefillTokensPerSecond),
      digits(line.prefillMs.median),
      digits(line.stepMs.median),
      range(line.stepMs),
      digits(line.waitedMs.median),
      digits(line.tokensPerSecond),
      digits(line.gbs),
      percent(line.share),
    ]),
  );
}

function describeGeneration(line: GenerateLine): string[] {
  return [
    '',
    `${line.name}: ${line.dispatches} dispatches a step, ${digits(line.profiledMs)} ms profiled; made in ${digits(line.createSeconds)} s`,
    ...indent(
      table(
        ['kernel', 'ms', 'dispatches', 'group'],
        line.kernels.map(({ kernel, ms, dispatches, group }) => [kernel, digits(ms), digits(dispatches), group]),
      ),
    ),
  ];
}

const indent = (lines: readonly string[]) => lines.map((line) => `  ${line}`);

function loadTable(lines: readonly LoadLine[]): string[] {
  const megabytes = (bytes: number | null) => (bytes === null ? 'unknown' : digits(bytes / 2 ** 20));
  return table(
    ['model', 'MB', 's', 'min – max', 'GB/s', 'plain writes GB/s', 'share', 'GPU MiB', 'GPU peak', 'host peak MiB'],
    lines.map((line) => [
      line.model,
      digits(line.bytes / 1e6),
      digits(line.seconds.median),
      range(line.seconds),
      digits(line.gbs),
      digits(line.writeGbs),
      percent(line.share),
      megabytes(line.gpuBytes),
      megabytes(line.gpuPeakBytes),
      megabytes(line.hostPeakBytes),
    ]),
  );
}

/** A model a row; a category's bytes as MB of 10^6, and how far from the prediction. */
function modelTable(lines: readonly ModelLine[]): string[] {
  const categories = [
    ...new Set(lines.flatMap(({ measured, predicted }) => Object.keys({ ...predicted, ...measured }))),
  ];
  const off = (measured: number, predicted: number) =>
    measured === predicted || predicted === 0 ? '' : ` (${((100 * measured) / predicted - 100).toFixed(2)} %)`;
  const megabytes = (measured: number, predicted: number) => `${digits(measured / 1e6)}${off(measured, predicted)}`;
  return table(
    ['model', 'parameters', 'load s', 'load peak MB', 'ms a step', 'losses', ...categories, 'MB in all'],
    lines.map((line) => [
      line.model,
      line.parameters.toLocaleString('en'),
      digits(line.loadSeconds),
      digits(line.loadPeakBytes / 1e6),
      digits(line.stepMs.at(-1) ?? Number.NaN),
      line.losses.map((loss) => loss.toFixed(3)).join(' '),
      ...categories.map((name) => megabytes(line.measured[name] ?? 0, line.predicted[name] ?? 0)),
      megabytes(line.measuredBytes, line.predictedBytes),
    ]),
  );
}

function pagingTables({ model, rank, parameters, rows, length, tiers, lines }: PagingReport): string[] {
  const megabytes = (bytes: number) => digits(bytes / 1e6);
  const rate = (value: number | null) => (value === null ? '' : digits(value));
  return [
    `paged optimizer: ${model}, LoRA r ${rank} on all linears, ${parameters.toLocaleString('en')} trainable parameters, ` +
      `micro-batches of ${rows}×${length}`,
    ...table(
      [
        'what each tier moves, GB/s',
        'to the GPU',
        'from the GPU',
        'by the host',
        'there and back',
        'disk write',
        'disk read',
      ],
      tiers.map((tier) => [
        `pages of ${digits(tier.pageBytes / 2 ** 20)} MiB`,
        ...[tier.toGpu, tier.fromGpu, tier.hostCopy ?? null, tier.roundTrip].map(rate),
        ...[tier.storeWrite, tier.storeRead].map(rate),
      ]),
    ),
    '',
    ...table(
      [
        'moments',
        'ms a step',
        'resident',
        'stall',
        'MB in',
        'MB out',
        'disk read',
        'written',
        'GB an hour',
        'GPU tier ms',
        'disk ms',
        'of bound',
        'of sum',
        'GPU MB',
        'budget',
        'host MB',
        'same numbers',
      ],
      lines.map((line) => [
        line.name,
        digits(line.ms),
        digits(line.residentMs),
        digits(line.stallMs),
        megabytes(line.bytesIn),
        megabytes(line.bytesOut),
        megabytes(line.storeRead),
        megabytes(line.storeWritten),
        digits(line.writtenGbAnHour),
        digits(line.gpuTierMs),
        digits(line.storeMs),
        digits(line.ofBound),
        digits(line.ofSum),
        megabytes(line.optimizerBytes),
        megabytes(line.budgetBytes),
        megabytes(line.hostBytes),
        line.same ? 'yes' : 'NO',
      ]),
    ),
  ];
}

/** Where layers lie that have no place on the GPU. */
const SLAB_PLACES = { host: ', host memory', tight: ', half in host memory', disk: ', cache' };

function streamingTable(lines: readonly StreamingLine[]): string[] {
  return table(
    [
      'model, rows × length',
      'weights MB',
      'resident',
      'slots',
      'layers',
      'ms a step',
      'resident',
      'tok/s',
      'resident',
      'MB in a step',
      'stall ms',
      'comes at GB/s',
      'MB read',
      'reads GB/s',
      'host MB',
      'of bound',
      'same losses',
    ],
    lines.map((line) => [
      `${line.model} ${line.rows}×${line.length}${SLAB_PLACES[line.tier ?? 'host']}`,
      digits(line.weightBytes / 1e6),
      digits(line.residentWeightBytes / 1e6),
      String(line.slots),
      String(line.layers),
      digits(line.ms),
      digits(line.residentMs),
      digits(line.tokensPerSecond),
      digits(line.residentTokensPerSecond),
      digits(line.bytesIn / 1e6),
      digits(line.stallMs),
      digits(line.writeGbs),
      digits((line.bytesRead ?? 0) / 1e6),
      line.readGbs ? digits(line.readGbs) : '',
      line.hostBytes === undefined ? '' : digits(line.hostBytes / 1e6),
      line.ofBound === undefined ? '' : digits(line.ofBound),
      line.same ? 'yes' : 'NO',
    ]),
  );
}
