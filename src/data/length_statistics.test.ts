import { expect, it } from 'vitest';
import { lengthStatistics } from './length_statistics.ts';

it('counts every row in one bin, and ranks by nearest', () => {
  const lengths = Uint32Array.from({ length: 100 }, (_, i) => 100 - i);
  const found = lengthStatistics(lengths, 50);
  expect(found).toMatchObject({ count: 100, mean: 50.5, p50: 50, p90: 90, p95: 95, p99: 99, max: 100 });
  expect(found.bins.reduce((sum, rows) => sum + rows, 0)).toBe(100);
  expect(lengths[0]).toBe(100);
});

it('does not let one giant flatten the picture, but reaches to max_length', () => {
  const lengths = new Uint32Array(1000).fill(20);
  lengths[0] = 1_000_000;
  expect(lengthStatistics(lengths, 10).binWidth).toBe(1);
  const reach = (maxLength: number) => {
    const { bins, binWidth } = lengthStatistics(lengths, maxLength);
    return bins.length * binWidth;
  };
  expect(reach(400)).toBeGreaterThan(400);
  expect(lengthStatistics(lengths, 400).bins.at(-1)).toBe(1);
});

it('has no figures for nothing', () => {
  expect(lengthStatistics(new Uint32Array(), 10)).toMatchObject({ count: 0, mean: 0, max: 0 });
});
