import { expect, it } from 'vitest';
import { PauseGate, waitForGate } from './gate.ts';
import { DEFAULT_RETRY, Retries, type RetryNotice, retryAfterSeconds } from './retry.ts';

const failure = (over = {}) => ({ reason: 'it broke', error: new Error('broken for good'), ...over });

function retries(random = 0) {
  const notices: RetryNotice[] = [];
  const signal = new AbortController().signal;
  const policy = { ...DEFAULT_RETRY, attempts: 8, random: () => random, sleep: async () => undefined };
  return { notices, under: new Retries(policy, (notice) => notices.push(notice), signal) };
}

it.each([
  [0, [0.25, 0.5, 1, 2, 4, 8, 10, 10]],
  [1, [0.5, 1, 2, 4, 8, 16, 20, 20]],
])('doubles its waits up to a bound, with jitter %s, then gives up', async (random, expected) => {
  const { notices, under } = retries(random);
  for (const _ of expected) await under.after(failure());
  expect(notices.map(({ seconds }) => seconds)).toEqual(expected);
  await expect(under.after(failure())).rejects.toThrow('broken for good');
});

it('counts anew after progress, goes on at once where nothing is overloaded, and heeds the server', async () => {
  const { notices, under } = retries();
  await under.after(failure({ atOnce: true }));
  await under.after(failure({ atOnce: true }));
  under.reset();
  await under.after(failure({ atOnce: true, afterSeconds: 12 }));
  expect(notices.map(({ attempt, seconds }) => [attempt, seconds])).toEqual([
    [1, 0],
    [2, 0.5],
    [1, 12],
  ]);
  await expect(under.after(failure({ afterSeconds: 311 }))).rejects.toThrow('broken for good');
});

it('sleeps no longer than the signal allows', async () => {
  const controller = new AbortController();
  const sleeping = DEFAULT_RETRY.sleep(60, controller.signal);
  controller.abort();
  await expect(sleeping).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
  await expect(DEFAULT_RETRY.sleep(60, controller.signal)).rejects.toThrow();
  await DEFAULT_RETRY.sleep(0.001, new AbortController().signal);
});

it('reads how long a server asks to wait', () => {
  const seconds = (headers: Record<string, string>) => retryAfterSeconds(new Headers(headers), Date.UTC(2025, 0, 1));
  expect(seconds({ 'retry-after': '120' })).toBe(120);
  expect(seconds({ 'retry-after': 'Wed, 01 Jan 2025 00:00:30 GMT' })).toBe(30);
  expect(seconds({ 'retry-after': 'Tue, 31 Dec 2024 00:00:30 GMT' })).toBe(0);
  expect(seconds({ ratelimit: '"resolvers";r=0;t=23' })).toBe(23);
  expect(seconds({ 'retry-after': 'soon' })).toBeNull();
  expect(seconds({})).toBeNull();
});

it('waits at a gate until it opens, or the signal ends the wait', async () => {
  const [gate, controller] = [new PauseGate(), new AbortController()];
  await waitForGate(gate, controller.signal);
  gate.pause();
  let through = 0;
  const waiting = waitForGate(gate, controller.signal).then(() => through++);
  await Promise.resolve();
  gate.resume();
  gate.pause();
  // Opened and shut before the waiter ran: it stays.
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(through).toBe(0);
  gate.resume();
  await waiting;
  gate.pause();
  const cancelled = waitForGate(gate, controller.signal);
  controller.abort();
  await expect(cancelled).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
});
