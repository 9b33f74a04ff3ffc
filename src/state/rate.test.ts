import { expect, it } from 'vitest';
import { RateMeter } from './rate.ts';

it('says nothing before there is something to say', () => {
  const meter = new RateMeter();
  meter.add(0, 0);
  meter.add(10, 100);
  expect(meter.perSecond()).toBeNull();
  expect(meter.secondsLeft(100)).toBeNull();
});

it('forgets what is long ago, and what was before a pause', () => {
  const meter = new RateMeter();
  for (let second = 0; second <= 20; second++) meter.add(second < 10 ? 0 : (second - 10) * 100, second * 1000);
  expect(meter.perSecond()).toBeCloseTo(100, 6);
  expect(meter.secondsLeft(2000)).toBeCloseTo(10, 6);
  meter.reset();
  expect(meter.perSecond()).toBeNull();
});
