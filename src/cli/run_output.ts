/** A run's folder: `log.jsonl` and `samples.jsonl` as the run goes, `adapter/` at its end. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { AdapterFile, StepRecord } from '../worker/protocol.ts';

/** A line of samples.jsonl: what the adapter after so many steps makes of a prompt. */
export interface SampleRecord {
  readonly step: number;
  readonly prompt: string;
  readonly text: string;
}

export class RunOutput {
  readonly directory: string;
  #started = false;

  constructor(directory: string) {
    this.directory = directory;
  }

  get logFile(): string {
    return path.join(this.directory, 'log.jsonl');
  }

  get samplesFile(): string {
    return path.join(this.directory, 'samples.jsonl');
  }

  get checkpointFolder(): string {
    return path.join(this.directory, 'checkpoint');
  }

  get adapterFolder(): string {
    return path.join(this.directory, 'adapter');
  }

  /**
   * Makes the folder. What an earlier run left there is moved aside, never overwritten: returns where to, or null.
   */
  start(): string | null {
    if (this.#started) return null;
    const left = [this.logFile, this.samplesFile, this.adapterFolder, this.checkpointFolder].filter(existsSync);
    let aside: string | null = null;
    if (left.length > 0) {
      for (let n = 1; aside === null || existsSync(aside); n++) aside = path.join(this.directory, `previous-${n}`);
      mkdirSync(aside);
      for (const file of left) renameSync(file, path.join(aside, path.basename(file)));
    }
    mkdirSync(this.directory, { recursive: true });
    writeFileSync(this.logFile, '');
    this.#started = true;
    return aside;
  }

  /**
   * Goes on after `step` with what an earlier run left there: the log becomes that of these steps, and of the samples those
   * from before it stay, since that step's own are made again.
   */
  resume(step: number, records: readonly StepRecord[]): void {
    this.#started = true;
    replace(this.logFile, jsonLines(records));
    if (!existsSync(this.samplesFile)) return;
    const samples = readFileSync(this.samplesFile, 'utf8').split('\n').flatMap(readSample);
    replace(this.samplesFile, jsonLines(samples.filter((sample) => sample.step < step)));
  }

  log(record: StepRecord): void {
    if (!this.#started) this.start();
    appendFileSync(this.logFile, jsonLines([record]));
  }

  samples(samples: readonly SampleRecord[]): void {
    appendFileSync(this.samplesFile, jsonLines(samples));
  }

  writeAdapter(files: readonly AdapterFile[]): void {
    for (const { path: file, bytes } of files) {
      const full = path.join(this.adapterFolder, file);
      mkdirSync(path.dirname(full), { recursive: true });
      replace(full, bytes);
    }
  }
}

const jsonLines = (values: readonly unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');

/** A line that an end of power or a kill cut off is no sample. */
function readSample(line: string): SampleRecord[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}

/** Complete or as it was: a reader never finds half a file. */
function replace(file: string, data: string | Uint8Array): void {
  writeFileSync(`${file}.part`, data);
  renameSync(`${file}.part`, file);
}
