import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AcquireOptions, acquireGpu, type Gpu } from '../../device/gpu.ts';
import { hasMatrices } from '../matmul_tile.ts';
import type { KernelCase } from './harness.ts';

/** Runs each case with a fresh seed on one device, several at once, since most of their time is compiling. */
export function testKernel(title: string, cases: readonly KernelCase[], options: AcquireOptions = {}): void {
  describe(title, () => {
    let gpu: Gpu;
    let largest = 0;

    beforeAll(async () => {
      gpu = await acquireGpu(navigator.gpu, options);
    });

    afterAll(() => {
      console.log(`${title}: largest error ${largest.toExponential(1)}`);
      expect(gpu.ledger.leaks()).toEqual([]);
      gpu.dispose();
    });

    test.concurrent.for(cases)('$name', async (kernelCase, { skip }) => {
      skip((kernelCase.workgroupBytes ?? 0) > gpu.capabilities.workgroupStorageBytes, 'too little workgroup memory');
      skip(kernelCase.matrices === true && !hasMatrices(gpu.capabilities), 'no subgroup matrices');
      skip(kernelCase.long === true && !import.meta.env.NIBBLE_FULL, 'in npm run test:full');
      const seed = Math.floor(Math.random() * 2 ** 32);
      const { error, tolerance } = await kernelCase.run(gpu, seed);
      expect(error, `relative error with seed ${seed}`).toBeLessThanOrEqual(tolerance);
      largest = Math.max(largest, error);
    });
  });
}
