/** A run's folder: `log.jsonl` as the run goes, `adapter/` at its end. */
import { appendFileSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { AdapterFile, StepRecord } from '../worker/protocol.ts';

export class RunOutput {
  readonly directory: string;
  #started = false;

  constructor(directory: string) {
    this.directory = directory;
  }

  get logFile(): string {
    return path.join(this.directory, 'log.jsonl');
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
    const left = [this.logFile, this.adapterFolder, this.checkpointFolder].filter(existsSync);
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

  /** Goes on with what an earlier run left there; the log becomes that of these steps. */
  resume(records: readonly StepRecord[]): void {
    this.#started = true;
    writeFileSync(`${this.logFile}.part`, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    renameSync(`${this.logFile}.part`, this.logFile);
  }

  log(record: StepRecord): void {
    if (!this.#started) this.start();
    appendFileSync(this.logFile, `${JSON.stringify(record)}\n`);
  }

  writeAdapter(files: readonly AdapterFile[]): void {
    for (const { path: file, bytes } of files) {
      const full = path.join(this.adapterFolder, file);
      mkdirSync(path.dirname(full), { recursive: true });
      // Complete or absent: a reader never finds half a file.
      writeFileSync(`${full}.part`, bytes);
      renameSync(`${full}.part`, full);
    }
  }
}
