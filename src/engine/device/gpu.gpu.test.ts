import { afterAll, expect, test } from 'vitest';
import { acquireGpu } from './gpu.ts';
import { readBuffer } from './readback.ts';

const gpu = await acquireGpu(navigator.gpu);
afterAll(() => gpu.dispose());

test('check throws a validation error once, and nothing when there was none', async () => {
  gpu.check();
  gpu.device.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
  await gpu.device.queue.onSubmittedWorkDone();
  expect(() => gpu.check()).toThrow('GPUValidationError');
  gpu.check();
});

test('readBuffer returns a range, and frees its staging buffer', async () => {
  const buffer = gpu.ledger.create({
    label: 'data',
    size: 64,
    usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    category: 'weights',
  });
  gpu.device.queue.writeBuffer(
    buffer,
    0,
    Uint32Array.from({ length: 16 }, (_, i) => i),
  );
  expect([...new Uint32Array(await readBuffer(gpu, buffer, 12, 16))]).toEqual([3, 4, 5, 6]);
  expect(gpu.ledger.leaks()).toEqual(['data']);
  gpu.ledger.destroy(buffer);
});

test('capabilities name the adapter and its limits', () => {
  expect(gpu.capabilities.name).toMatch(/swiftshader/i);
  expect(gpu.capabilities.features).toContain('subgroups');
  expect(gpu.capabilities.workgroupStorageBytes).toBeGreaterThanOrEqual(16384);
});

test('lost resolves when the device is destroyed', async () => {
  const other = await acquireGpu(navigator.gpu);
  other.dispose();
  expect((await other.lost).reason).toBe('destroyed');
});
