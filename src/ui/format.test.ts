import { expect, it } from 'vitest';
import { bytes, duration, parameters, percent } from './format.ts';

it('writes sizes with three digits', () => {
  expect([0, 999, 1000, 269_060_552, 2_471_645_608, 999_950].map(bytes)).toEqual([
    '0 B',
    '999 B',
    '1.00 kB',
    '269 MB',
    '2.47 GB',
    '1.00 MB',
  ]);
});

it('writes times as people say them', () => {
  expect([0.4, 59.6, 200, 600, 3599, 4320].map(duration)).toEqual([
    '0 s',
    '1 min',
    '3 min 20 s',
    '10 min',
    '1 h 0 min',
    '1 h 12 min',
  ]);
});

it('writes parameters and shares', () => {
  expect([154_176, 134_515_008, 1_235_814_400].map(parameters)).toEqual(['154,176', '135 M', '1.24 B']);
  expect([0, 0.004, 0.43, 1].map(percent)).toEqual(['0 %', '0.4 %', '43 %', '100 %']);
});
