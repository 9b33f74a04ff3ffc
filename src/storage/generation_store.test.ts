import { describe } from 'vitest';
import { MemoryDisk } from './memory_disk.ts';
import { type DiskUnderTest, diskContract } from './testing/disk_contract.ts';
import { killContract } from './testing/kill_contract.ts';

const create = async (): Promise<DiskUnderTest> => {
  const disk = new MemoryDisk();
  return { open: async () => disk, remove: async () => {} };
};

diskContract('memory', create);
describe('memory, killed', () => killContract(create));
