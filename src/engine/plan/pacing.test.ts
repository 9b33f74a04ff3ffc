import { describe, expect, test } from 'vitest';
import { DISPATCH_LIMIT_MS, type Job, Pacing } from './pacing.ts';

const job = (work: number, options: Partial<Job> = {}): Job => ({
  key: 'matmul',
  work,
  counted: true,
  workgroups: 1000,
  ...options,
});

describe('pace', () => {
  test('what was never seen runs alone, timed; what was seen does not', () => {
    const pacing = new Pacing();
    expect(pacing.pace(job(1e6))).toMatchObject({ parts: 1, timed: true });
    pacing.record(job(1e6), 1e6, 3);
    expect(pacing.pace(job(1e6))).toEqual({ parts: 1, partMs: 3, timed: false });
    expect(pacing.pace(job(1e6, { key: 'other' })).timed).toBe(true);
  });

  test('a dispatch is cut when it would take too long, not before', () => {
    const pacing = new Pacing();
    pacing.record(job(1e8), 1e8, 50);
    expect(pacing.pace(job(1e8)).parts).toBe(1);
    expect(pacing.pace(job(2e8)).parts).toBe(4);
    for (const work of [2e8, 5e8, 1e9]) {
      const { parts, partMs } = pacing.pace(job(work));
      expect(parts * partMs).toBeCloseTo((50 * work) / 1e8);
      expect(partMs).toBeLessThanOrEqual(DISPATCH_LIMIT_MS / 2);
    }
    expect(pacing.pace(job(1e9, { workgroups: 3 })).parts).toBe(3);
  });

  test('a small sample is no measurement of a long dispatch: parts run timed until one as long was seen', () => {
    const pacing = new Pacing();
    // One workgroup of a thousand in 1 ms: at most a second for all, much less where they run side by side.
    pacing.record(job(1e9), 1e6, 1);
    expect(pacing.pace(job(1e9))).toMatchObject({ parts: 34, timed: true });
    pacing.record(job(1e9), 1e9 / 25, 2);
    expect(pacing.pace(job(1e9))).toMatchObject({ parts: 1, timed: true });
    pacing.record(job(1e9), 1e9, 30);
    expect(pacing.pace(job(1e9))).toMatchObject({ parts: 1, timed: false });
    // Less work at once says less.
    pacing.record(job(1e9), 1e6, 1);
    expect(pacing.pace(job(1e9)).parts).toBe(1);
  });

  test('one long time is not believed: the driver may have compiled', () => {
    const pacing = new Pacing();
    pacing.record(job(1e9), 1e9, 120);
    expect(pacing.pace(job(1e9))).toMatchObject({ parts: 4, timed: true });
    for (let part = 0; part < 4; part++) pacing.record(job(1e9), 1e9 / 4, 1);
    expect(pacing.pace(job(1e9))).toMatchObject({ parts: 1, timed: false });
  });

  test('what takes longer than it did, twice in a row, is cut finer', () => {
    const pacing = new Pacing();
    pacing.record(job(1e9), 1e9, 60);
    const keys = ['matmul', 'unknown'];
    let now = 1000;
    /** Submitted while the submit before was still running. */
    const took = (ms: number, expected = 60) => {
      const submitted = now - 500;
      now += ms;
      pacing.finished({ submitted, done: now, expected, keys });
      return pacing.pace(job(1e9)).parts;
    };
    expect([took(500), took(110), took(180), took(90)]).toEqual([1, 1, 1, 1]);
    // What is short anyway may be late.
    expect([took(90, 1), took(90, 1)]).toEqual([1, 1]);
    expect([took(180), took(180)]).toEqual([1, 6]);
    // Ten times: a factor of four is believed at once.
    expect(took(6000, 600)).toBe(24);
  });

  test('where operations are not counted, workgroups are', () => {
    const pacing = new Pacing();
    const adamw = job(500, { key: 'adamw', counted: false, workgroups: 500 });
    expect(pacing.mustProbe(adamw)).toBe(false);
    pacing.record(adamw, 500, 200);
    expect(pacing.pace(adamw)).toMatchObject({ parts: 7, timed: true });
    for (let part = 0; part < 3; part++) pacing.record(adamw, 100, 41);
    expect(pacing.pace(adamw)).toMatchObject({ parts: 7, timed: false });
  });

  test('forced parts are taken as they are', () => {
    const pacing = new Pacing();
    pacing.force(3);
    expect(pacing.mustProbe(job(1e12))).toBe(false);
    expect(pacing.pace(job(1e12))).toEqual({ parts: 3, partMs: 0, timed: false });
    pacing.force(null);
    expect(pacing.mustProbe(job(1e12))).toBe(true);
  });
});

describe('mustProbe', () => {
  test('of what is unknown and may be too long by the fastest seen so far', () => {
    const pacing = new Pacing();
    expect(pacing.mustProbe(job(1e7))).toBe(false);
    expect(pacing.mustProbe(job(1e8))).toBe(true);
    // 10 TFLOP/s: what runs at a thirtieth of that does 3e10 in 100 ms.
    pacing.record(job(1e10), 1e10, 1);
    const other = (work: number) => job(work, { key: 'other' });
    expect(pacing.mustProbe(other(1e10))).toBe(false);
    expect(pacing.mustProbe(other(1e11))).toBe(true);
    expect(pacing.mustProbe(job(1e12))).toBe(false);
  });
});
