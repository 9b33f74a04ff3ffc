import { expect, test } from 'vitest';
import { Intermission, RunEndedError } from './intermission.ts';

test('what is asked waits for the next pause, in order, with what the run lends', async () => {
  const intermission = new Intermission<string>();
  const done: string[] = [];
  const first = intermission.ask(async (stage) => {
    done.push(`first ${stage}`);
    return 1;
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
  expect(await first).toBe(1);
  await expect(second).rejects.toThrow('its own');
});

test('a run that ends leaves nobody waiting', async () => {
  const intermission = new Intermission<string>();
  const waiting = intermission.ask(async () => 1);
  intermission.close();
  await expect(waiting).rejects.toThrow(RunEndedError);
  await expect(intermission.ask(async () => 1)).rejects.toThrow(RunEndedError);
});
