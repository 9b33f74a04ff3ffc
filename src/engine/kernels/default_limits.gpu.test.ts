/** Each kernel once on a device at WebGPU's default limits: 8 storage buffers, 16 KiB of workgroup memory. */
import { expect, test } from 'vitest';
import { acquireGpu } from '../device/gpu.ts';
import { allCases, casesOf, kernelOf } from './testing/all_cases.ts';
import { testKernel } from './testing/suite.ts';

const kernels = [...new Set(allCases.map(kernelOf))];
// A kernel's second case is the first with an odd shape.
const cases = kernels.map((kernel) => casesOf(kernel)[1] ?? casesOf(kernel)[0]);

testKernel('at the default limits', cases, { defaultLimits: true });

test('the device has the default limits', async () => {
  const gpu = await acquireGpu(navigator.gpu, { defaultLimits: true });
  expect(gpu.device.limits.maxStorageBuffersPerShaderStage).toBe(8);
  expect(gpu.capabilities.workgroupStorageBytes).toBe(16384);
  gpu.dispose();
});
