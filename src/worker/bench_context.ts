import type { Gpu } from '../engine/device/gpu.ts';
import type { PageDisk } from '../storage/page_disk.ts';
import type { BenchCeilings, BenchRequest } from './bench_report.ts';

/** What the parts of a bench share. */
export interface BenchContext {
  readonly gpu: Gpu;
  readonly request: BenchRequest;
  readonly size: 'small' | 'full';
  readonly ceilings: BenchCeilings;
  readonly signal: AbortSignal;
  /** Null where there is no disk. */
  readonly openDisk: (() => Promise<PageDisk>) | null;
  readonly say: (text: string) => void;
  /** Runs one measurement; what fails is noted under its name, freed, and null comes back. */
  attempt<T>(name: string, measure: () => Promise<T>): Promise<T | null>;
}
