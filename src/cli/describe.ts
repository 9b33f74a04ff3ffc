/** Events in words, for whoever watches the command line. */
import type { EventOf, ParityReport } from '../worker/protocol.ts';

const DROPPED_SHOWN = 3;

export function describeData({ summary }: EventOf<'data'>): string[] {
  const { examples, trainedTokens, truncated, dropped, droppedCount, notes, microBatchesPerEpoch } = summary;
  return [
    `data: ${examples} examples, ${trainedTokens} trained tokens, ${microBatchesPerEpoch} micro-batches an epoch` +
      (truncated > 0 ? `, ${truncated} cut at max_length` : ''),
    ...dropped.slice(0, DROPPED_SHOWN).map(({ file, line, reason }) => `  ${file}, line ${line} left out: ${reason}`),
    ...(droppedCount > DROPPED_SHOWN ? [`  … ${droppedCount} rows left out in all`] : []),
    ...notes.map(({ text, rows, firstLine }) => `  note: ${text} (${rows} rows, the first on line ${firstLine})`),
  ];
}

export function describeMemory({ bytes, kept }: EventOf<'memory'>): string {
  const parts = Object.entries(bytes).filter(([, size]) => size > 0);
  const total = parts.reduce((sum, [, size]) => sum + size, 0);
  const megabytes = (size: number) => (size / 1e6).toFixed(1);
  const recomputed =
    kept && kept.layers < kept.of ? `; ${kept.of - kept.layers} of ${kept.of} layers computed twice` : '';
  return (
    `GPU memory: ${megabytes(total)} MB (${parts.map(([name, size]) => `${name} ${megabytes(size)}`).join(', ')})` +
    recomputed
  );
}

/** A table, the busiest kernel first. */
export function describeDispatches(dispatches: Readonly<Record<string, number>>): string[] {
  const rows = Object.entries(dispatches).sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  return rows.map(([name, count]) => `  ${name.padEnd(width)} ${String(count).padStart(8)}`);
}

/** One line for machines: the verdict and the worst error of each group of checks. */
/** `variant`: what was forced, empty for nothing. */
export function parityLine(report: ParityReport, variant = ''): string {
  const worst = (pattern: RegExp) =>
    report.checks
      .filter(({ name }) => pattern.test(name))
      .reduce((most, { value }) => (value > most || Number.isNaN(value) ? value : most), 0);
  return JSON.stringify({
    case: report.case,
    ...(variant && { variant }),
    pass: report.pass,
    maxLossRelError: report.maxLossRelError,
    maxGradNormRelError: worst(/^grad_norm/),
    logitsRelError: worst(/^logits$/),
    maxGradientRelError: worst(/^gradient of/),
    adapterRelError: worst(/^final adapter$/),
    failed: report.checks.filter(({ pass }) => !pass).map(({ name }) => name),
    adapter: report.adapter,
    steps: report.steps.length,
    seconds: Number(report.seconds.toFixed(1)),
  });
}

export function describeMisses({ checks }: ParityReport): string[] {
  return checks
    .filter(({ pass }) => !pass)
    .map(({ name, value, limit }) => `  MISS ${name}: ${value.toPrecision(3)}, at most ${limit} allowed`);
}
