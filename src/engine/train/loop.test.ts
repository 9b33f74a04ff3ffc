import { describe, expect, it } from 'vitest';
import type { TokenBatch } from '../token_batch.ts';
import { type LoopEvent, NonFiniteLossError, runTraining, type StepTrainer } from './loop.ts';

function batch(tokens: number): TokenBatch {
  const ids = new Uint32Array(tokens);
  return {
    ids,
    targets: new Int32Array(tokens),
    positions: ids,
    documents: new Uint32Array(2 * tokens),
    trainedTokens: tokens,
  };
}

/** Counts, and answers with losses of its own; `waits` records how many steps each read-back waited for. */
class FakeTrainer implements StepTrainer {
  readonly rates: number[] = [];
  readonly waits: number[] = [];
  #pending: Awaited<ReturnType<StepTrainer['readLog']>>[number][] = [];
  readonly #loss: (step: number) => number;
  readonly #norm: (step: number) => number;

  constructor(loss: (step: number) => number = (step) => 4 / step, norm: (step: number) => number = () => 1) {
    this.#loss = loss;
    this.#norm = norm;
  }

  async step(window: readonly TokenBatch[], learningRate: number) {
    this.rates.push(learningRate);
    const step = this.rates.length;
    const trainedTokens = window.reduce((sum, one) => sum + one.trainedTokens, 0);
    const lossSum = this.#loss(step) * trainedTokens;
    this.#pending.push({ lossSum, hits: trainedTokens / 2, gradNorm: this.#norm(step), trainedTokens, learningRate });
  }

  async readLog() {
    this.waits.push(this.#pending.length);
    return this.#pending.splice(0);
  }
}

function* windows() {
  for (;;) yield [batch(3), batch(5)];
}

const base = { windows: windows(), learningRate: (step: number) => step / 10, logEvery: 4 };
const steps = (events: readonly LoopEvent[]) =>
  events.flatMap((event) => (event.type === 'step' ? [event.record] : []));

describe('runTraining', () => {
  it('reports every step once, in order, with the field’s figures', async () => {
    const trainer = new FakeTrainer();
    const events: LoopEvent[] = [];
    const result = await runTraining({ ...base, windows: windows(), trainer, steps: 10, emit: (e) => events.push(e) });
    expect(result).toEqual({ steps: 10, stopped: false });
    expect(steps(events).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(steps(events)[1]).toEqual({
      step: 2,
      loss: 2,
      grad_norm: 1,
      learning_rate: 0.1,
      num_tokens: 8,
      mean_token_accuracy: 0.5,
    });
    expect(trainer.rates).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
    // The first step at once, then never more than `logEvery` at a time.
    expect(trainer.waits).toEqual([1, 4, 4, 1]);
  });

  it('stops after the step in flight and reports it', async () => {
    const controller = new AbortController();
    const trainer = new FakeTrainer();
    const events: LoopEvent[] = [];
    const emit = (event: LoopEvent) => {
      events.push(event);
      if (event.type === 'step' && event.record.step === 5) controller.abort();
    };
    const result = await runTraining({
      ...base,
      windows: windows(),
      trainer,
      steps: 100,
      signal: controller.signal,
      emit,
    });
    expect(result).toEqual({ steps: 5, stopped: true });
    expect(steps(events)).toHaveLength(5);
  });

  it('does nothing when aborted before it starts', async () => {
    const trainer = new FakeTrainer();
    const signal = AbortSignal.abort();
    const result = await runTraining({ ...base, windows: windows(), trainer, steps: 3, signal, emit: () => {} });
    expect(result).toEqual({ steps: 0, stopped: true });
    expect(trainer.rates).toEqual([]);
  });

  it.each([
    ['loss', new FakeTrainer((step) => (step === 3 ? Number.NaN : 1)), /^Step 3: the loss is NaN/],
    [
      'norm',
      new FakeTrainer(undefined, (step) => (step === 6 ? Number.POSITIVE_INFINITY : 1)),
      /^Step 6: the gradient norm is Infinity/,
    ],
  ])('names the step whose %s is not finite, and what to do', async (_, trainer, message) => {
    const events: LoopEvent[] = [];
    const run = runTraining({ ...base, windows: windows(), trainer, steps: 20, emit: (event) => events.push(event) });
    const error = await run.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NonFiniteLossError);
    const { step, message: text } = error as NonFiniteLossError;
    expect(text).toMatch(message);
    expect(text).toMatch(/lower learning_rate/);
    expect(steps(events)).toHaveLength(step - 1);
  });

  it('evaluates at the right steps, after their figures are out', async () => {
    const events: LoopEvent[] = [];
    const evaluation = { every: 3, run: async () => ({ lossSum: 20, tokens: 10 }) };
    await runTraining({
      ...base,
      windows: windows(),
      trainer: new FakeTrainer(),
      steps: 7,
      evaluation,
      emit: (e) => events.push(e),
    });
    const order = events.map((event) =>
      event.type === 'evaluation' ? `evaluation ${event.step} ${event.loss}` : 'record' in event && event.record.step,
    );
    expect(order).toEqual([1, 2, 3, 'evaluation 3 2', 4, 5, 6, 'evaluation 6 2', 7]);
  });

  it('tells of paging behind the steps that it is of, where something is paged', async () => {
    const told: string[] = [];
    const emit = (event: LoopEvent) =>
      told.push(event.type === 'paging' ? `${event.rates.bytesInPerStep} in` : event.type);
    const paging = { pages: 1, pageBytes: 1, residentBytes: 1, hostBytes: 1, storedBytes: 0, bytesIn: 12, bytesOut: 1 };
    const figures = { ...paging, storeRead: 0, storeWritten: 0, stallMs: 0 };
    const paged = Object.assign(new FakeTrainer(), { paging: figures });
    await runTraining({ ...base, windows: windows(), trainer: paged, steps: 1, emit });
    expect(told).toEqual(['step', '12 in']);
    told.length = 0;
    await runTraining({ ...base, windows: windows(), trainer: new FakeTrainer(), steps: 1, emit });
    expect(told).toEqual(['step']);
  });

  it('checkpoints at the right steps, at the end, and after what it tells was told', async () => {
    const order: (number | string)[] = [];
    const checkpoint = { every: 3, save: async (step: number) => void order.push(`checkpoint ${step}`) };
    await runTraining({
      ...base,
      windows: windows(),
      trainer: new FakeTrainer(),
      steps: 7,
      checkpoint,
      emit: (event) => order.push(event.type === 'step' ? event.record.step : event.type),
    });
    expect(order).toEqual([1, 2, 3, 'checkpoint 3', 4, 5, 6, 'checkpoint 6', 7, 'checkpoint 7']);
  });

  it('checkpoints out of turn when it is asked to, once', async () => {
    const saved: number[] = [];
    let wanted = false;
    const checkpoint = {
      every: 100,
      save: async (step: number) => void saved.push(step),
      asked: () => {
        const asked = wanted;
        wanted = false;
        return asked;
      },
    };
    const emit = (event: LoopEvent) => {
      wanted ||= event.type === 'step' && event.record.step === 2;
    };
    await runTraining({ ...base, windows: windows(), trainer: new FakeTrainer(), steps: 9, checkpoint, emit });
    expect(saved).toHaveLength(2);
    expect(saved[0]).toBeGreaterThanOrEqual(2);
    expect(saved[0]).toBeLessThan(9);
    expect(saved[1]).toBe(9);
  });

  it('goes on after the steps of a checkpoint, with their numbers and rates', async () => {
    const trainer = new FakeTrainer();
    const events: LoopEvent[] = [];
    const saved: number[] = [];
    const checkpoint = { every: 4, save: async (step: number) => void saved.push(step) };
    const emit = (event: LoopEvent) => events.push(event);
    const result = await runTraining({ ...base, windows: windows(), first: 4, trainer, steps: 6, checkpoint, emit });
    expect(result).toEqual({ steps: 6, stopped: false });
    expect(steps(events).map(({ step }) => step)).toEqual([5, 6]);
    expect(trainer.rates).toEqual([0.4, 0.5]);
    expect(saved).toEqual([6]);
    const again = await runTraining({ ...base, windows: windows(), first: 6, trainer, steps: 6, checkpoint, emit });
    expect(again).toEqual({ steps: 6, stopped: false });
    expect(trainer.rates).toHaveLength(2);
  });

  it('saves at a pause, waits, and goes on; a stop ends the wait', async () => {
    const controller = new AbortController();
    const saved: number[] = [];
    let open = () => {};
    const gate = { paused: false, wait: () => new Promise<void>((resolve) => (open = resolve)) };
    const checkpoint = { every: Number.POSITIVE_INFINITY, save: async (step: number) => void saved.push(step) };
    const events: LoopEvent[] = [];
    const emit = (event: LoopEvent) => {
      events.push(event);
      gate.paused = event.type === 'step' && event.record.step === 1;
    };
    const trainer = new FakeTrainer();
    const { signal } = controller;
    const run = runTraining({ ...base, windows: windows(), trainer, steps: 50, checkpoint, gate, signal, emit });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(saved).toEqual([1]);
    expect(trainer.rates).toHaveLength(1);
    gate.paused = false;
    open();
    await new Promise((resolve) => setTimeout(resolve, 1));
    gate.paused = true;
    await new Promise((resolve) => setTimeout(resolve, 20));
    controller.abort();
    const { steps: done, stopped } = await run;
    expect(stopped).toBe(done < 50);
    expect(saved.at(-1)).toBe(done);
  });

  it('ends when the windows do', async () => {
    const trainer = new FakeTrainer();
    const result = await runTraining({ ...base, windows: [[batch(1)], [batch(1)]], trainer, steps: 5, emit: () => {} });
    expect(result).toEqual({ steps: 2, stopped: true });
  });
});
