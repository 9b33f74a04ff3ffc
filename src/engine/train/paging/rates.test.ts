import { expect, test } from 'vitest';
import type { PagingFigures } from './moments.ts';
import { PagingMeter } from './rates.ts';

const figures = (done: number): PagingFigures => ({
  pages: 9,
  pageBytes: 100,
  residentBytes: 200,
  hostBytes: 300,
  storedBytes: 400,
  bytesIn: 700 * done,
  bytesOut: 800 * done,
  storeRead: 500 * done,
  storeWritten: 600 * done,
  stallMs: 3 * done,
});

test('traffic is of the steps since the figures before, writing of the whole run', () => {
  const meter = new PagingMeter(1000);
  expect(meter.rates(figures(4), 4, 1000 + 1.8e6)).toEqual({
    ...{ residentBytes: 200, hostBytes: 300, storedBytes: 400 },
    ...{ bytesInPerStep: 700, bytesOutPerStep: 800, stallMsPerStep: 3 },
    ...{ storeWrittenBytes: 2400, storeWrittenPerHour: 4800 },
  });
  expect(meter.rates({ ...figures(6), stallMs: 12 }, 2, 1000 + 3.6e6)).toMatchObject({
    ...{ bytesInPerStep: 700, bytesOutPerStep: 800, stallMsPerStep: 0, storeWrittenPerHour: 3600 },
  });
});
