/** `npm run bench`: measures, prints tables, writes and compares reports. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { BenchReport } from '../worker/bench_report.ts';
import type { RuntimeOptions } from './arguments.ts';
import type { BenchInvocation } from './bench_arguments.ts';
import { BenchFileError, compareReports, parseBenchFile } from './bench_compare.ts';
import { type BenchEnvironment, type BenchFile, describeBench } from './bench_tables.ts';
import { INTERRUPTED } from './interrupts.ts';
import { show } from './parity_command.ts';
import { Progress } from './progress.ts';
import type { Runtime } from './runtime.ts';

/** A report that an earlier run wrote. Throws {@link BenchFileError}. */
export function readReport(file: string): BenchReport {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new BenchFileError(`${file} cannot be read: ${(error as Error).message}.`);
  }
  return parseBenchFile(file, text);
}

/** Tables on stdout, what it is at on stderr. The exit code: 0 when everything was measured. */
export async function benchCommand(
  invocation: BenchInvocation & RuntimeOptions,
  files: { readonly json: string | undefined; readonly old: BenchReport | null },
  runtime: Runtime,
  stop: AbortSignal,
): Promise<number> {
  const progress = new Progress();
  let report: BenchReport | null = null;
  await runtime.run(
    { type: 'bench', runId: 'bench', bench: invocation.bench },
    (event) => {
      if (event.type === 'benched') report = event.report;
      else if (event.type === 'bench-progress') progress.note(event.text);
      else if (event.type === 'failed') progress.note(`${event.name}: ${event.message}`);
      else show(event, progress);
    },
    stop,
  );
  const measured = report as BenchReport | null;
  if (measured === null) return stop.aborted ? INTERRUPTED : 1;
  const file: BenchFile = { ...measured, environment: environmentOf(invocation) };
  for (const line of describeBench(file)) console.log(line);
  if (files.json !== undefined) {
    mkdirSync(path.dirname(files.json), { recursive: true });
    writeFileSync(files.json, `${JSON.stringify(file, null, 1)}\n`);
    progress.note(`report in ${files.json}`);
  }
  if (files.old) for (const line of ['', ...compareReports(files.old, file)]) console.log(line);
  if (measured.stopped) return INTERRUPTED;
  return measured.failures.length === 0 ? 0 : 1;
}

function environmentOf({ runtime, adapter, dawnToggles, toggles, flags }: RuntimeOptions): BenchEnvironment {
  const git = spawnSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' });
  return {
    runtime,
    adapter: adapter ?? (runtime === 'node' ? 'system' : 'swiftshader'),
    toggles: [...dawnToggles, ...(toggles ?? [])],
    flags: flags ?? [],
    commit: git.status === 0 ? git.stdout.trim() : null,
    platform: `${os.platform()} ${os.arch()}, ${os.cpus()[0]?.model ?? 'unknown CPU'} × ${os.cpus().length}`,
  };
}
