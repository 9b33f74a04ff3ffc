/** Scratch files in a temporary folder, gone when the process ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { CreateScratch } from '../formats/scratch.ts';
import { diskFolder } from './disk_folder.ts';

export const createDiskScratch: CreateScratch = async () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-scratch-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const file = await open(path.join(directory, 'data'), 'w');
  return {
    async write(bytes) {
      await file.writeFile(bytes);
    },
    async finish(name) {
      await file.close();
      return { ...(await diskFolder(directory).open('data')), name };
    },
    async discard() {
      await file.close();
      remove();
    },
  };
};
