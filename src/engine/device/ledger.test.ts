import { expect, test } from 'vitest';
import { GpuMemoryError, MemoryLedger } from './ledger.ts';

/** A device that only makes buffers, and knows which were destroyed. */
function fakeDevice(maxBufferSize = 1000) {
  const destroyed: string[] = [];
  const device = {
    limits: { maxBufferSize },
    createBuffer: ({ label, size }: { label: string; size: number }) => ({
      label,
      size,
      destroy: () => destroyed.push(label),
    }),
  };
  return { device: device as unknown as GPUDevice, destroyed };
}

const request = (label: string, size: number, category: 'weights' | 'logits' = 'weights') => ({
  label,
  size,
  usage: 0,
  category,
});

test('sums by category, the peak, and nothing after disposal', () => {
  const { device, destroyed } = fakeDevice();
  const ledger = new MemoryLedger(device);
  const a = ledger.create(request('a', 100));
  const b = ledger.create(request('b', 33, 'logits'));
  expect(b.size).toBe(36);
  expect(ledger.byCategory()).toMatchObject({ weights: 100, logits: 36, optimizer: 0 });
  expect(ledger.total()).toBe(136);
  ledger.destroy(a);
  const c = ledger.create(request('c', 8));
  expect(ledger.leaks()).toEqual(['b', 'c']);
  ledger.destroy(b);
  ledger.destroy(c);
  expect([ledger.total(), ledger.peak]).toEqual([0, 136]);
  expect(ledger.peakByCategory).toMatchObject({ weights: 100, logits: 36 });
  ledger.resetPeak();
  expect([ledger.peak, ledger.peakByCategory.weights]).toEqual([0, 0]);
  expect(ledger.leaks()).toEqual([]);
  expect(destroyed).toEqual(['a', 'b', 'c']);
});

test('a buffer over the device’s limit is refused by name, with advice', () => {
  const ledger = new MemoryLedger(fakeDevice(2 ** 28).device);
  expect(() => ledger.create(request('logits', 2 ** 30))).toThrow(GpuMemoryError);
  expect(() => ledger.create(request('logits', 2 ** 30))).toThrow(
    /logits needs one buffer of 1.00 GiB; this device allows 256.0 MiB. Try/,
  );
  expect(ledger.total()).toBe(0);
});

test('destroying a buffer twice is an error', () => {
  const ledger = new MemoryLedger(fakeDevice().device);
  const a = ledger.create(request('a', 4));
  ledger.destroy(a);
  expect(() => ledger.destroy(a)).toThrow('a is not in the ledger');
});
