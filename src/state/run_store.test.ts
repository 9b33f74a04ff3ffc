import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { StudioCommand, StudioEvent } from '../worker/studio_protocol.ts';
import { checkSettings } from './check_settings.ts';
import { pauseTraining, receiveForRun, startTraining, stopTraining, useRun, useTrained } from './run_store.ts';
import { DEFAULT_SETTINGS } from './settings_store.ts';
import { type StudioWorker, studioClient } from './studio_client.ts';
import { FAKE_MODELS } from './testing/fake_models.ts';

let sent: StudioCommand[];
let frames: (() => void)[];

beforeEach(() => {
  sent = [];
  frames = [];
  vi.stubGlobal('document', { hidden: false });
  vi.stubGlobal('requestAnimationFrame', (frame: () => void) => frames.push(frame));
  const worker: StudioWorker = {
    onmessage: null,
    onerror: null,
    postMessage: (command) => sent.push(command),
    terminate() {},
  };
  studioClient.connect(() => worker);
  startTraining(checkSettings(DEFAULT_SETTINGS).request!, FAKE_MODELS[0]!);
});
afterEach(() => vi.unstubAllGlobals());

const runId = () => useRun.getState().runId;
const step = (number: number): StudioEvent => ({
  type: 'step',
  runId: runId(),
  record: { step: number, loss: 2, grad_norm: 1, learning_rate: 1e-4, num_tokens: 7, mean_token_accuracy: 0 },
  totalSteps: 60,
  tokensPerSecond: 100,
});

it('tells of many steps at once', () => {
  let told = 0;
  const stop = useRun.subscribe(({ version }, before) => {
    if (version !== before.version) told++;
  });
  for (let number = 1; number <= 1000; number++) receiveForRun(step(number));
  expect(told).toBe(0);
  for (const frame of frames.splice(0)) frame();
  expect(told).toBe(1);
  expect(useRun.getState()).toMatchObject({ version: 1000, latest: { step: 1000 }, status: 'training' });
  stop();
});

it('does not listen to another run', () => {
  receiveForRun({ ...step(1), runId: 'train-of-before' } as StudioEvent);
  expect(useRun.getState().series.length).toBe(0);
});

it('shows everything before it says that the run ended, and keeps the adapter', () => {
  receiveForRun(step(1));
  receiveForRun({ type: 'evaluation', runId: runId(), step: 1, loss: 1.5, tokens: 3 });
  const files = [{ path: 'adapter_config.json', bytes: new Uint8Array(2) }];
  receiveForRun({ type: 'finished', runId: runId(), steps: 1, stopped: true, files });
  expect(useRun.getState()).toMatchObject({ status: 'finished', version: 1, since: null });
  expect(useTrained.getState().trained).toMatchObject({ outcome: 'stopped', steps: 1, finalEvalLoss: 1.5, files });
});

it('tells of an evaluation after its step was shown: the last one has no step behind it', async () => {
  const told = (evaluations: number) =>
    vi.waitFor(() => {
      for (const frame of frames.splice(0)) frame();
      expect(useRun.getState()).toMatchObject({ version: 1, evaluations });
    });
  receiveForRun(step(1));
  await told(0);
  receiveForRun({ type: 'evaluation', runId: runId(), step: 1, loss: 1.5, tokens: 3 });
  await told(1);
  expect(useRun.getState().series.eval_loss).toEqual([1.5]);
});

it('says what a run does before its first step', () => {
  expect(useRun.getState()).toMatchObject({ status: 'starting', stage: 'compiling' });
  receiveForRun({ type: 'preparing', runId: runId(), stage: 'measuring' });
  expect(useRun.getState().stage).toBe('measuring');
});

it('keeps which precision was chosen and why, until the next run', () => {
  const choice = { precision: 'f32', errors: { loss: 0.01, gradient: 0.3 } } as const;
  receiveForRun({ type: 'preparing', runId: runId(), stage: 'checking' });
  receiveForRun({ type: 'precision', runId: runId(), choice });
  receiveForRun(step(1));
  expect(useRun.getState()).toMatchObject({ stage: 'checking', precision: choice });
  const { request, model } = useRun.getState();
  startTraining(request!, model!);
  expect(useRun.getState().precision).toBe(null);
});

it('stays stopping when a pause is confirmed late', () => {
  receiveForRun(step(1));
  pauseTraining();
  stopTraining();
  receiveForRun({ type: 'paused', runId: runId() });
  expect(useRun.getState().status).toBe('stopping');
  expect(sent.map(({ type }) => type)).toEqual(['train', 'pause', 'stop']);
});

it('fails when the worker dies', () => {
  receiveForRun({ type: 'crashed', message: 'out of memory' });
  expect(useRun.getState()).toMatchObject({ status: 'failed', failure: { name: 'WorkerError' } });
});
