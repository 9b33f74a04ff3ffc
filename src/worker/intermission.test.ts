import { expect, test } from 'vitest';
import { Intermission } from './intermission.ts';

test('what is asked waits for the next pause, in order, with what the run lends', async () => {
  const intermission = new Intermission<string>();
  const done: string[] = [];
  const first = intermission.ask(async (stage) => {
    done.push(`first ${stage}`);
  });
  const second = intermission.ask(async (stage) => {
    done.push(`second ${stage}`);
    throw new Error('its own');
  });
  second.catch(() => undefined);
  await intermission.asked();
  expect(done).toEqual([]);
  await intermission.serve('stage');
  expect(done).toEqual(['first stage', 'second stage']);
  expect(await first).toBe(true);
  await expect(second).rejects.toThrow('its own');
});

test('a run that ends leaves nobody waiting, and does nothing of what was asked', async () => {
  const intermission = new Intermission<string>();
  let worked = false;
  const work = async () => {
    worked = true;
  };
  const waiting = intermission.ask(work);
  intermission.close();
  expect(await waiting).toBe(false);
  expect(await intermission.ask(work)).toBe(false);
  expect(worked).toBe(false);
});
