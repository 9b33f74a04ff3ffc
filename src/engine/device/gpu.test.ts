import { expect, test } from 'vitest';
import { acquireGpu, NoGpuError } from './gpu.ts';

const LIMITS = {
  maxBufferSize: 2 ** 30,
  maxStorageBufferBindingSize: 2 ** 29,
  maxComputeWorkgroupStorageSize: 32768,
  maxStorageBuffersPerShaderStage: 10,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
};

/** An API whose first `refusals` requests find no adapter. */
function fakeApi(refusals: number) {
  const asked: { requests: number; requiredLimits?: Record<string, number>; requiredFeatures?: string[] } = {
    requests: 0,
  };
  const adapter = {
    limits: LIMITS,
    features: new Set(['subgroups', 'bgra8unorm-storage']),
    info: { vendor: 'acme', architecture: 'one', device: '', description: 'Acme One' },
    requestDevice: async (wanted: { requiredLimits: Record<string, number>; requiredFeatures: string[] }) => {
      const { requiredLimits } = wanted;
      asked.requiredLimits = requiredLimits;
      asked.requiredFeatures = wanted.requiredFeatures;
      return {
        limits: { ...LIMITS, maxComputeWorkgroupStorageSize: 16384, ...requiredLimits },
        lost: new Promise(() => undefined),
        addEventListener: () => undefined,
      };
    },
  };
  const api = { requestAdapter: async () => (++asked.requests > refusals ? adapter : null) };
  return { api: api as unknown as GPU, asked };
}

test('no WebGPU at all', async () => {
  await expect(acquireGpu(undefined)).rejects.toThrow(NoGpuError);
  await expect(acquireGpu(undefined)).rejects.toThrow('This browser has no WebGPU');
});

test('asks again while the GPU process starts', async () => {
  const { api, asked } = fakeApi(2);
  const gpu = await acquireGpu(api);
  expect(asked.requests).toBe(3);
  expect(gpu.capabilities.name).toBe('acme one Acme One');
});

test('gives up after its attempts, and says what to do', async () => {
  const { api, asked } = fakeApi(100);
  await expect(acquireGpu(api, { attempts: 3 })).rejects.toThrow(
    /no graphics adapter answered.*update the graphics driver/,
  );
  expect(asked.requests).toBe(3);
});

test('asks for the adapter’s limits, or for none', async () => {
  const wide = fakeApi(0);
  const gpu = await acquireGpu(wide.api);
  expect(wide.asked.requiredLimits).toEqual(LIMITS);
  expect(gpu.capabilities.workgroupStorageBytes).toBe(32768);
  const plain = fakeApi(0);
  const weak = await acquireGpu(plain.api, { defaultLimits: true });
  expect(plain.asked.requiredLimits).toEqual({});
  expect(weak.capabilities.workgroupStorageBytes).toBe(16384);
});

test('asks for the features that the engine can use and the adapter has', async () => {
  const wide = fakeApi(0);
  const { capabilities } = await acquireGpu(wide.api);
  expect(wide.asked.requiredFeatures).toEqual(['subgroups']);
  expect(capabilities.features).toEqual(['bgra8unorm-storage', 'subgroups']);
  expect(capabilities.enabled).toEqual(['subgroups']);
  expect(capabilities.subgroupMatrixConfigs).toEqual([]);
  const plain = fakeApi(0);
  await acquireGpu(plain.api, { defaultLimits: true });
  expect(plain.asked.requiredFeatures).toEqual([]);
});
