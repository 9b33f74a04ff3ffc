/** The session on a golden model: texts, samples and evaluation beside a run, and that they leave its numbers alone. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { parseRunConfig, type RunConfig } from '../formats/run_config.ts';
import { createBrowserTemplateWorker } from './browser_template_worker.ts';
import { createBrowserTokenizerWorker } from './browser_tokenizer_worker.ts';
import reference from './fixtures/evaluation.json' with { type: 'json' };
import type { StudioCommand, StudioEvent, TrainRequest, TryRow } from './studio_protocol.ts';
import { StudioSession } from './studio_session.ts';
import { VolatileStore } from './volatile_store.ts';

vi.setConfig({ testTimeout: 180_000 });

const CASE = '/e2e/golden/qwen2-chat';
const MODEL_FILES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'];

const events: StudioEvent[] = [];
let waiting: (() => void)[] = [];
const session = new StudioSession(
  (event) => {
    events.push(event);
    for (const wake of waiting.splice(0)) wake();
  },
  {
    requestGpu: async () => navigator.gpu,
    createTemplateWorker: createBrowserTemplateWorker,
    createTokenizerWorker: createBrowserTokenizerWorker,
    cores: 2,
    openStore: async () => new VolatileStore('for a test'),
  },
);

type Of<T extends StudioEvent['type']> = Extract<StudioEvent, { type: T }>;
const of = <T extends StudioEvent['type']>(type: T, runId: string) =>
  events.filter((event): event is Of<T> => event.type === type && 'runId' in event && event.runId === runId);

/** Waits for an event of a run; fails when the run does. */
async function until<T extends StudioEvent['type']>(type: T, runId: string, count = 1): Promise<Of<T>> {
  for (;;) {
    const found = of(type, runId);
    if (found.length >= count) return found[count - 1]!;
    const [failed] = of('failed', runId);
    if (failed && type !== 'failed') throw new Error(`${failed.name}: ${failed.message}`);
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
}

const send = (command: StudioCommand) => session.handle(command);

async function file(path: string): Promise<File> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return new File([await response.blob()], path.slice(path.lastIndexOf('/') + 1));
}

let config: RunConfig;
let request: TrainRequest;

beforeAll(async () => {
  config = parseRunConfig(JSON.parse(await (await file(`${CASE}/case.json`)).text()));
  const weights = 'model.safetensors';
  const files = await Promise.all(
    [...MODEL_FILES, weights].map(async (path) => ({ path, file: await file(`${CASE}/model/${path}`) })),
  );
  await send({ type: 'start', runId: 'start', hubUrl: 'https://hub.test' });
  const location = { kind: 'files', name: 'golden', files } as const;
  await send({ type: 'load-model', runId: 'load', location, quantization: config.quantization });
  await until('model-ready', 'load');
  const data = await file(`${CASE}/data.jsonl`);
  const text = { by: 'paragraph', windowBytes: 4096 } as const;
  await send({ type: 'read-data', runId: 'read', data: { kind: 'files', files: [data] }, validation: null, text });
  const training = { ...config.training, max_steps: 4, packing: false, per_device_train_batch_size: 1 };
  const settings = { ...training, validation_share: 0, remove_duplicates: false, columns: null, system_prompt: null };
  await send({ type: 'prepare-data', runId: 'prepare', settings });
  await until('data-ready', 'prepare');
  request = { name: 'run', quantization: config.quantization, lora: config.lora, training };
}, 120_000);

afterAll(() => {
  events.length = 0;
  waiting = [];
});

const SAMPLING = { temperature: 0, top_k: 0, top_p: 1, seed: 7, max_new_tokens: 12 };
const ask = (strength: number, content = 'What do you say?'): TryRow => ({
  input: { kind: 'chat', messages: [{ role: 'user', content }] },
  strength,
});
const textOf = (runId: string, row: number) =>
  of('text', runId)
    .filter((event) => event.row === row)
    .map(({ text }) => text)
    .join('');

const losses = (runId: string) => of('step', runId).map(({ record }) => [record.loss, record.grad_norm]);

test('samples and trying beside a run leave its numbers as they are, to the bit', async () => {
  await send({ type: 'train', runId: 'plain', request });
  await until('finished', 'plain');
  const samples = { prompts: ['Who goes there?', 'Speak.'], every: 2, max_new_tokens: 4 };
  const sampled = send({ type: 'train', runId: 'sampled', request: { ...request, samples } });
  await until('memory', 'sampled');
  const tried = send({
    type: 'generate',
    runId: 'beside',
    rows: [ask(0), ask(1)],
    sampling: SAMPLING,
    adapter: 'trained',
  });
  await Promise.all([sampled, tried]);
  await until('finished', 'sampled');
  expect(losses('sampled')).toEqual(losses('plain'));
  expect(losses('plain')).toHaveLength(4);
  const files = (runId: string) => of('finished', runId)[0]!.files.map(({ bytes }) => [...bytes]);
  expect(files('sampled')).toEqual(files('plain'));
  // Before the first step, every second one, and at the end.
  expect(of('sample', 'sampled').map(({ step }) => step)).toEqual([0, 2, 4]);
  const texts = of('sample', 'sampled').map((event) => event.texts.join('|'));
  expect(texts[0]!.length).toBeGreaterThan(2);
  expect(new Set(texts).size).toBeGreaterThan(1);
  expect(of('generated', 'beside')[0]!.rows.map(({ tokens }) => tokens > 0)).toEqual([true, true]);
});

test('what is asked as a run ends is answered after it, with what it trained', async () => {
  const run = send({ type: 'train', runId: 'ending', request });
  await until('finished', 'ending');
  // The run still holds the model: its record is being written.
  const asked = send({ type: 'generate', runId: 'late', rows: [ask(1)], sampling: SAMPLING, adapter: 'trained' });
  await Promise.all([run, asked]);
  expect(of('failed', 'late')).toEqual([]);
  expect(of('generated', 'late')[0]!.rows[0]!.tokens).toBeGreaterThan(0);
});

test('base and tuned differ by the adapter alone; the same seed gives the same text', async () => {
  const sampling = { ...SAMPLING, temperature: 0.9, top_p: 0.95, max_new_tokens: 20 };
  const rows = [ask(0), ask(1), ask(0)];
  await send({ type: 'generate', runId: 'first', rows, sampling, adapter: 'trained' });
  await until('generated', 'first');
  await send({ type: 'generate', runId: 'again', rows, sampling, adapter: 'trained' });
  await until('generated', 'again');
  await send({ type: 'generate', runId: 'none', rows: [ask(0)], sampling, adapter: 'none' });
  await until('generated', 'none');
  await send({ type: 'generate', runId: 'other', rows, sampling: { ...sampling, seed: 8 }, adapter: 'trained' });
  await until('generated', 'other');
  const all = (runId: string) => [0, 1, 2].map((row) => textOf(runId, row));
  expect(all('again')).toEqual(all('first'));
  expect(textOf('first', 2)).toBe(textOf('first', 0));
  expect(textOf('none', 0)).toBe(textOf('first', 0));
  expect(textOf('first', 1)).not.toBe(textOf('first', 0));
  expect(all('other')).not.toEqual(all('first'));
  const [{ prompts }] = of('prompts', 'first') as [Of<'prompts'>];
  expect(prompts[0]!.pieces.map(({ text }) => text).join('')).toContain('What do you say?');
  expect(prompts[0]!.pieces.some(({ special }) => special)).toBe(true);
});

test('a stop keeps what was written; an empty text and a missing adapter are said', async () => {
  const long = { ...SAMPLING, temperature: 1, max_new_tokens: 400 };
  const writing = send({ type: 'generate', runId: 'long', rows: [ask(1)], sampling: long, adapter: 'trained' });
  await until('text', 'long', 3);
  await send({ type: 'stop', runId: 'long' });
  await writing;
  const [{ rows }] = of('generated', 'long') as [Of<'generated'>];
  if (rows[0]!.ending === 'stopped') expect(rows[0]!.tokens).toBeLessThan(400);
  expect(rows[0]!.tokens).toBeGreaterThan(0);
  const nothing: TryRow = { input: { kind: 'text', text: '' }, strength: 0 };
  await send({ type: 'generate', runId: 'empty', rows: [nothing], sampling: SAMPLING, adapter: 'none' });
  expect((await until('failed', 'empty')).name).toBe('EmptyPromptError');
  await send({ type: 'generate', runId: 'opened', rows: [ask(1)], sampling: SAMPLING, adapter: 'opened' });
  expect((await until('failed', 'opened')).message).toContain('Open one');
});

test('a held-out file: exact match and multiple choice, base against tuned', async () => {
  const jsonl = (rows: readonly unknown[]) =>
    new File([rows.map((row) => JSON.stringify(row)).join('\n')], 'held.jsonl');
  await send({ type: 'generate', runId: 'greedy', rows: [ask(0), ask(1)], sampling: SAMPLING, adapter: 'trained' });
  await until('generated', 'greedy');
  const [base, tuned] = [textOf('greedy', 0), textOf('greedy', 1)];
  expect(tuned).not.toBe(base);
  const question = 'What do you say?';
  const ended = of('generated', 'greedy')[0]!.rows.map(({ ending }) => ending === 'end of turn');
  const rows = [{ question, answer: tuned }, { question, answer: base }, { text: 'asks nothing' }];
  await send({ type: 'evaluate', runId: 'exact', files: [jsonl(rows)], limit: 10, adapter: 'trained' });
  const { result } = await until('evaluated', 'exact');
  expect(result).toMatchObject({ kind: 'exact match', skipped: 1, stopped: false });
  // An answer that went on when it was cut is no match.
  expect(result.base.correct).toBe(ended[0] ? 1 : 0);
  expect(result.tuned?.correct).toBe(ended[1] ? 1 : 0);
  expect(result.base.answered).toBe(2);
  const choices = ['yes', 'a thousand ships upon the sea', 'no'];
  const asked = [
    { question, choices, answer: 'B' },
    { question, choices, answer: 0 },
    { question, choices: { text: choices, label: ['x', 'y', 'z'] }, answerKey: 'z' },
  ];
  await send({ type: 'evaluate', runId: 'choice', files: [jsonl(asked)], limit: 10, adapter: 'trained' });
  const scored = (await until('evaluated', 'choice')).result;
  expect(scored.kind).toBe('multiple choice');
  // The same question three times with another answer each: it is right once.
  expect([scored.base.correct, scored.tuned?.correct]).toEqual([1, 1]);
  await send({ type: 'evaluate', runId: 'nothing', files: [jsonl([{ text: 'x' }])], limit: 10, adapter: 'none' });
  expect((await until('failed', 'nothing')).name).toBe('NoQuestionsError');
});

test('choices and answers are those of transformers and PEFT, base and tuned', async () => {
  const files = [
    await file(`${CASE}/adapter_init/adapter_config.json`),
    await file(`${CASE}/expected/adapter_model.safetensors`),
  ];
  await send({ type: 'open-adapter', runId: 'open', files });
  await until('adapter-ready', 'open');
  const rows = (own: readonly unknown[]) => new File([own.map((row) => JSON.stringify(row)).join('\n')], 'held.jsonl');
  const { choice, exact } = reference;
  await send({ type: 'evaluate', runId: 'picks', files: [rows(choice.rows)], limit: 100, adapter: 'opened' });
  const picked = (await until('evaluated', 'picks')).result;
  expect(picked.rows.map(({ base, tuned }) => [base, tuned])).toEqual(
    choice.picks.map(({ base, tuned }) => [base.sum, tuned.sum]),
  );
  const right = (side: 'base' | 'tuned', by: 'sum' | 'byLength') =>
    choice.rows.filter(({ choices, answer }, i) => choice.picks[i]![side][by] === choices[answer]).length;
  for (const side of ['base', 'tuned'] as const) {
    const score = {
      answered: choice.rows.length,
      correct: right(side, 'sum'),
      correctByLength: right(side, 'byLength'),
    };
    expect(picked[side]).toEqual(score);
  }
  // Control: the reference's picks are no constant, and the adapter changes some.
  expect(new Set(choice.picks.map(({ tuned }, i) => choice.rows[i]!.choices.indexOf(tuned.sum))).size).toBeGreaterThan(
    1,
  );
  await send({ type: 'evaluate', runId: 'answers', files: [rows(exact.rows)], limit: 100, adapter: 'opened' });
  const answered = (await until('evaluated', 'answers')).result;
  expect(answered.rows.map(({ base, tuned }) => ({ base, tuned }))).toEqual(exact.answers);
});
