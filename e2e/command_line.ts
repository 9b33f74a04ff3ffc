/** Runs the command line as a user does, and makes runs to give it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const ROOT = path.resolve(import.meta.dirname, '..');
export const CASE = path.join(ROOT, 'e2e/golden/llama-text');

/** Not every Chromium brings a Vulkan driver, and not every machine has one. */
export const NO_DAWN = 'this machine has no Vulkan driver for Node';

export interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
}

/** `node scripts/cli.mjs …`, what `npm run parity` and `npm run train` call. */
export function start(...args: string[]): Running {
  const child = spawn(process.execPath, [path.join(ROOT, 'scripts/cli.mjs'), ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exitCode) => resolve({ exitCode, stdout, stderr }));
  });
  return { child, outcome };
}

export const run = (...args: string[]): Promise<Outcome> => start(...args).outcome;

/** A copy of a case, llama-text when none is named, to be damaged. */
export class RunFolder {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'nibble-e2e-'));

  constructor(golden = CASE) {
    cpSync(golden, this.directory, { recursive: true });
  }

  path(file: string): string {
    return path.join(this.directory, file);
  }

  read(file: string): Buffer {
    return readFileSync(this.path(file));
  }

  write(file: string, content: string | Uint8Array): void {
    writeFileSync(this.path(file), content);
  }

  /** Changes a JSON file in place. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reaches into whatever the file holds
  edit(file: string, change: (json: any) => void): void {
    const json = JSON.parse(this.read(file).toString());
    change(json);
    this.write(file, JSON.stringify(json));
  }

  dispose(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
