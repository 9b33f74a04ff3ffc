/** Two reports side by side: old, new and their ratio. */
import type { BenchReport } from '../worker/bench_report.ts';
import { digits, table } from './table.ts';

export class BenchFileError extends Error {
  override name = 'BenchFileError';
}

/** A figure that two reports can have in common. */
interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Whether more is better. */
  readonly more: boolean;
}

/** Reads what an earlier `--json` wrote. Throws {@link BenchFileError}. */
export function parseBenchFile(name: string, text: string): BenchReport {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new BenchFileError(`${name} cannot be read as JSON: ${(error as Error).message}.`);
  }
  const { format, version } = (json ?? {}) as Partial<BenchReport>;
  if (format !== 'nibble-bench') throw new BenchFileError(`${name} is no report of npm run bench -- --json.`);
  if (version !== 1) throw new BenchFileError(`${name} is a report of version ${version}; measure it again.`);
  return json as BenchReport;
}

export function figures({ ceilings, kernels, train, generate = [], load }: BenchReport): Figure[] {
  const figure = (name: string, value: number, unit: string, more: boolean): Figure => ({ name, value, unit, more });
  const { fma, copy, dispatchWall, encode, matrix } = ceilings;
  return [
    figure('ceiling: f32 multiply-add', fma.median, 'TFLOP/s', true),
    figure('ceiling: copy', copy.median, 'GB/s', true),
    figure('ceiling: empty dispatch', dispatchWall.median, 'µs', false),
    figure('ceiling: encode', encode.median, 'µs', false),
    ...(matrix && 'median' in matrix ? [figure('ceiling: subgroup matrices', matrix.median, 'TFLOP/s', true)] : []),
    ...kernels.map(({ name, ms }) => figure(name, ms.median, 'ms', false)),
    ...train.flatMap((line) => [
      figure(`${line.name}`, line.ms.median, 'ms', false),
      figure(`${line.name}: pipelined`, line.pipelinedMs, 'ms', false),
      figure(`${line.name}: encode`, line.encodeMs.median, 'ms', false),
      figure(`${line.name}: dispatches`, line.dispatches, '', false),
      figure(`${line.name}: GPU memory`, line.peakBytes / 2 ** 20, 'MiB', false),
      ...line.groups.map(({ group, ms }) => figure(`${line.name}: ${group}`, ms, 'ms', false)),
    ]),
    ...generate.flatMap((line) => [
      figure(`generate ${line.name}: prefill`, line.prefillMs.median, 'ms', false),
      figure(`generate ${line.name}: step`, line.stepMs.median, 'ms', false),
      figure(`generate ${line.name}: step waited for`, line.waitedMs.median, 'ms', false),
    ]),
    ...load.flatMap((line) => [
      figure(`load ${line.model}`, line.gbs, 'GB/s', true),
      figure(`load ${line.model}: GPU peak`, line.gpuPeakBytes / 2 ** 20, 'MiB', false),
    ]),
  ];
}

/** Within it two medians are taken for the same. */
const NOISE = 0.03;

/** A line a figure that both reports have; then what only one of them has. */
export function compareReports(old: BenchReport, now: BenchReport): string[] {
  const before = new Map(figures(old).map((figure) => [figure.name, figure]));
  const after = figures(now);
  const rows = after.flatMap(({ name, value, unit, more }) => {
    const known = before.get(name);
    if (!known) return [];
    const ratio = known.value === 0 ? (value === 0 ? 1 : Number.POSITIVE_INFINITY) : value / known.value;
    const gain = more ? ratio : 1 / ratio;
    const verdict = gain > 1 + NOISE ? 'better' : gain < 1 / (1 + NOISE) ? 'worse' : '';
    return [[name, digits(known.value), digits(value), unit, ratio.toFixed(3), verdict]];
  });
  const names = new Set(after.map(({ name }) => name));
  const gone = [...before.keys()].filter((name) => !names.has(name));
  const added = [...names].filter((name) => !before.has(name));
  const different = old.device.name !== now.device.name || old.device.host !== now.device.host;
  return [
    `compared with ${old.date}, ${old.device.name}${different ? ' (another device or host: ratios say little)' : ''}`,
    ...table(['figure', 'old', 'new', 'unit', 'new / old', ''], rows),
    ...(gone.length > 0 ? [`only in the old report: ${gone.join('; ')}`] : []),
    ...(added.length > 0 ? [`only in the new report: ${added.join('; ')}`] : []),
  ];
}
