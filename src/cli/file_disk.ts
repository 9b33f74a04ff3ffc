/**
 * A run's page disk on files: `pages`, and a file a record below `records/`. A record is written beside its place and
 * moved there once it is on the disk, so that it is there whole or not at all.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { RunLockedError, StorageFullError } from '../storage/errors.ts';
import type { DiskReader, PageDisk } from '../storage/page_disk.ts';

const PAGES = 'pages';
const RECORDS = 'records';
const PART = '.part';
/** Says which process writes the run. */
const LOCK = 'lock';

/** A record's name is a file's: `generation/7` → `generation-7`. */
const fileOf = (name: string) => `${name.replace('/', '-')}.json`;
const nameOf = (file: string) => file.slice(0, -'.json'.length).replace('-', '/');

/** @throws RunLockedError while another process, or this one, has it open. */
export async function openFileDisk(directory: string): Promise<PageDisk> {
  mkdirSync(path.join(directory, RECORDS), { recursive: true });
  lock(path.join(directory, LOCK));
  const file = path.join(directory, PAGES);
  const handle = await open(file, existsSync(file) ? 'r+' : 'w+');
  return new FileDisk(directory, handle);
}

/** A lock of a process that is gone counts for nothing. */
function lock(file: string): void {
  for (let tries = 0; ; tries++) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries > 0) throw error;
    }
    const holder = Number(readFileSync(file, 'utf8'));
    if (isRunning(holder)) {
      throw new RunLockedError(`The run in ${path.dirname(file)} is being trained by process ${holder}. End it first.`);
    }
    rmSync(file, { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    // Another user's process is one all the same.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

class FileDisk implements PageDisk {
  readonly #directory: string;
  readonly #pages: FileHandle;

  constructor(directory: string, pages: FileHandle) {
    this.#directory = directory;
    this.#pages = pages;
  }

  read(at: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    return readFrom(this.#pages, at, byteLength);
  }

  async reader(): Promise<DiskReader> {
    // What is deleted while it is open stays for whoever has it open.
    const file = await open(path.join(this.#directory, PAGES), 'r');
    return { read: (at, byteLength) => readFrom(file, at, byteLength), close: () => file.close() };
  }

  async write(at: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    let written = 0;
    while (written < bytes.byteLength) {
      const length = bytes.byteLength - written;
      written += (await full(this.#pages.write(bytes, written, length, at + written))).bytesWritten;
    }
  }

  async flush(): Promise<void> {
    await full(this.#pages.datasync());
  }

  async truncate(byteLength: number): Promise<void> {
    if ((await this.#pages.stat()).size > byteLength) await this.#pages.truncate(byteLength);
  }

  async records(): Promise<ReadonlyMap<string, string>> {
    const files = (await readdir(this.#records())).filter((file) => !file.endsWith(PART));
    const texts = await Promise.all(files.map((file) => readFile(this.#records(file), 'utf8')));
    return new Map(files.map((file, i) => [nameOf(file), texts[i]]));
  }

  async putRecords(records: readonly (readonly [name: string, text: string])[]): Promise<void> {
    for (const [name, text] of records) {
      const place = this.#records(fileOf(name));
      const handle = await open(place + PART, 'w');
      try {
        await full(handle.writeFile(text));
        await full(handle.sync());
      } finally {
        await handle.close();
      }
      await rename(place + PART, place);
      await this.#syncRecords();
    }
  }

  async deleteRecords(names: readonly string[]): Promise<void> {
    for (const name of names) await rm(this.#records(fileOf(name)), { force: true });
    if (names.length > 0) await this.#syncRecords();
  }

  async close(): Promise<void> {
    await this.#pages.close();
    rmSync(path.join(this.#directory, LOCK), { force: true });
  }

  #records(...parts: string[]): string {
    return path.join(this.#directory, RECORDS, ...parts);
  }

  /** A file's new name is in its folder, which has to reach the disk too. Windows has no such thing. */
  async #syncRecords(): Promise<void> {
    if (process.platform === 'win32') return;
    const folder = await open(this.#records(), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

async function readFrom(file: FileHandle, at: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(byteLength);
  let read = 0;
  while (read < byteLength) {
    const { bytesRead } = await file.read(bytes, read, byteLength - read, at + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return read === byteLength ? bytes : bytes.slice(0, read);
}

async function full<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    throw new StorageFullError('The disk is full. Free space on it, or give another --out.', { cause: error });
  }
}
