import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe } from 'vitest';
import { type DiskUnderTest, diskContract, readerContract } from '../storage/testing/disk_contract.ts';
import { killContract } from '../storage/testing/kill_contract.ts';
import { openFileDisk } from './file_disk.ts';

const create = async (): Promise<DiskUnderTest> => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-disk-'));
  return {
    open: () => openFileDisk(directory),
    remove: async () => rmSync(directory, { recursive: true, force: true }),
  };
};

diskContract('files', create);
readerContract('files', create);
describe('files, killed', () => killContract(create, 16));
