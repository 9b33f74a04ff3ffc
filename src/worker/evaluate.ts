/**
 * Base against adapter on questions with known answers. Exact match: the greedy answer, without white space at its ends, is the expected one.
 * Multiple choice: the choice whose tokens are likeliest behind the question, Σ log p, and the same a character (as
 * lm-evaluation-harness has acc and acc_norm).
 */
import type { Prompts, Stops } from '../data/prompts.ts';
import { parseTask, type Question, type Task } from '../data/questions.ts';
import { RowError } from '../data/rows.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { MOST_SEQUENCES } from '../engine/generate/generator.ts';
import type { ScoredSequence } from '../engine/generate/scorer.ts';
import { continueTexts } from './generate_text.ts';
import type { AdapterSource, TextModel } from './studio_generate.ts';
import type { EvaluatedRow, EvaluationResult, EvaluationScore } from './studio_protocol.ts';

export class NoQuestionsError extends Error {
  override name = 'NoQuestionsError';
}

export interface EvaluationHooks {
  readonly signal: AbortSignal;
  onProgress(done: number, total: number): void;
}

/** Rows of the file. */
export interface QuestionRows {
  readonly length: number;
  read(row: number): Promise<unknown>;
  place(row: number): { readonly line: number };
}

interface Numbered {
  readonly line: number;
  readonly task: Task;
}

/** Rows shown one by one. */
const ROWS_SHOWN = 100;
/** Tokens that are scored at a time, unless one question has more. */
const SCORED_TOKENS = 1024;
/** An answer that goes on for longer than the expected one is wrong already. */
const SPARE_TOKENS = 4;

/** Rejects with NoQuestionsError when no row can be checked, and the named errors of `data` and `engine`. */
export async function evaluateQuestions(
  text: TextModel,
  source: AdapterSource,
  rows: QuestionRows,
  limit: number,
  hooks: EvaluationHooks,
): Promise<EvaluationResult> {
  const started = performance.now();
  const { tasks, skipped, reason } = await readTasks(rows, limit, text.prompts.hasTemplate);
  const [first] = tasks;
  if (!first)
    throw new NoQuestionsError(`No row asks a question that can be checked. ${reason ?? 'The file is empty.'}`);
  const { kind } = first.task;
  const same = tasks.filter(({ task }) => task.kind === kind);
  const answers = kind === 'exact' ? exactMatch(text, source, same, hooks) : multipleChoice(text, source, same, hooks);
  const score = () => ({ answered: 0, correct: 0, correctByLength: 0 });
  const [base, tuned] = [score(), score()];
  const shown: EvaluatedRow[] = [];
  const add = (to: { -readonly [K in keyof EvaluationScore]: number }, right: boolean, byLength: boolean) => {
    to.answered++;
    if (right) to.correct++;
    if (byLength) to.correctByLength++;
  };
  for await (const { row, byLength } of answers) {
    add(base, row.baseRight, byLength[0]);
    if (source) add(tuned, row.tunedRight, byLength[1]);
    if (shown.length < ROWS_SHOWN) shown.push(row);
    hooks.onProgress(base.answered, same.length);
  }
  return {
    kind: kind === 'exact' ? 'exact match' : 'multiple choice',
    base,
    tuned: source ? tuned : null,
    rows: shown,
    skipped: skipped + tasks.length - same.length,
    reason: reason ?? (same.length < tasks.length ? 'Some rows are of the other kind.' : null),
    stopped: hooks.signal.aborted,
    seconds: (performance.now() - started) / 1000,
  };
}

async function readTasks(rows: QuestionRows, limit: number, hasTemplate: boolean) {
  const tasks: Numbered[] = [];
  let skipped = 0;
  let reason: string | null = null;
  for (let row = 0; row < rows.length && tasks.length < limit; row++) {
    const { line } = rows.place(row);
    try {
      const task = parseTask(await rows.read(row), line);
      tasks.push({ line, task: hasTemplate ? task : { ...task, question: asText(task.question) } });
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      skipped++;
      reason ??= error.message;
    }
  }
  return { tasks, skipped, reason };
}

/** A question for a model without a chat template, as lm-evaluation-harness words it. */
function asText(question: Question): Question {
  if (question.kind === 'text') return question;
  const asked = question.messages.map(({ content }) => content).join('\n');
  return { kind: 'text', text: `Question: ${asked}\nAnswer:` };
}

const questionText = (question: Question) =>
  question.kind === 'text' ? question.text : (question.messages.at(-1)?.content ?? '');

interface Answered {
  readonly row: EvaluatedRow;
  readonly byLength: readonly [base: boolean, tuned: boolean];
}

const strengthsOf = (source: AdapterSource) => (source ? [0, 1] : [0]);

async function* exactMatch(
  text: TextModel,
  source: AdapterSource,
  tasks: readonly Numbered[],
  { signal }: EvaluationHooks,
): AsyncGenerator<Answered> {
  const strengths = strengthsOf(source);
  const each = Math.floor(MOST_SEQUENCES / strengths.length);
  // Conversations and texts end differently: a batch has one of them.
  for (const kind of ['chat', 'text'] as const) {
    const own = tasks.filter(({ task }) => task.question.kind === kind);
    const stops = own.length > 0 ? await text.prompts.stops(kind === 'chat') : null;
    for (let at = 0; stops && at < own.length && !signal.aborted; at += each) {
      yield* exactBatch(text, source, own.slice(at, at + each), stops, signal);
    }
  }
}

async function* exactBatch(
  text: TextModel,
  source: AdapterSource,
  tasks: readonly Numbered[],
  stops: Stops,
  signal: AbortSignal,
): AsyncGenerator<Answered> {
  const { tokenizer } = text.model;
  const strengths = strengthsOf(source);
  const expected = tasks.map(({ task }) => (task.kind === 'exact' ? task.expected : ''));
  const prompts = await Promise.all(tasks.map(({ task }) => promptOf(text.prompts, task.question)));
  const most = Math.max(...expected.map((answer) => tokenizer.encode(answer).ids.length)) + SPARE_TOKENS;
  const longest = Math.max(...prompts.map(({ ids }) => ids.length));
  const generator = await text.generator(source, MOST_SEQUENCES, longest + most);
  const rows = prompts.flatMap((prompt) => strengths.map((strength) => ({ prompt, strength })));
  const sampling = { temperature: 0, top_k: 0, top_p: 1, seed: 0, max_new_tokens: most };
  const answers = await continueTexts(generator, tokenizer, { rows, sampling, stops }, { signal });
  if (signal.aborted) return;
  for (const [i, { line, task }] of tasks.entries()) {
    const [base, tuned] = answers.slice(i * strengths.length, (i + 1) * strengths.length);
    const right = (answer: string | undefined) => answer?.trim() === expected[i].trim();
    const row = {
      ...{ line, question: questionText(task.question), expected: expected[i], base: base.text },
      tuned: tuned?.text ?? null,
      baseRight: right(base.text),
      tunedRight: right(tuned?.text),
    };
    yield { row, byLength: [row.baseRight, row.tunedRight] };
  }
}

const promptOf = (prompts: Prompts, question: Question) =>
  question.kind === 'chat' ? prompts.chat(question.messages) : prompts.plain(question.text);

async function* multipleChoice(
  text: TextModel,
  source: AdapterSource,
  tasks: readonly Numbered[],
  { signal }: EvaluationHooks,
): AsyncGenerator<Answered> {
  const strengths = strengthsOf(source);
  for (const { line, task } of tasks) {
    if (signal.aborted) return;
    if (task.kind !== 'choice') continue;
    const { question, choices, answer } = task;
    const prompt = await promptOf(text.prompts, question);
    const continued = choices.map((choice) => continuation(text.model.tokenizer, prompt, question, choice));
    const sequences = strengths.flatMap((strength) => continued.map((one) => ({ ...one, strength })));
    const scores = await scoreAll(text, source, sequences);
    const picks = strengths.map((_, side) => {
      const own = scores.slice(side * choices.length, (side + 1) * choices.length);
      const best = (values: readonly number[]) => values.indexOf(Math.max(...values));
      return { sum: best(own), byLength: best(own.map((score, i) => score / choices[i].length)) };
    });
    const [base, tuned] = picks;
    yield {
      row: {
        ...{ line, question: questionText(question), expected: choices[answer] },
        base: choices[base.sum],
        baseRight: base.sum === answer,
        tuned: tuned ? choices[tuned.sum] : null,
        tunedRight: tuned?.sum === answer,
      },
      byLength: [base.byLength === answer, tuned?.byLength === answer],
    };
  }
}

/** The prompt's tokens and the choice's behind them; a space between where the text has none. */
function continuation(
  tokenizer: Tokenizer,
  prompt: { readonly ids: readonly number[]; readonly text: string },
  question: Question,
  choice: string,
): Omit<ScoredSequence, 'strength'> {
  const space = question.kind === 'text' && !/\s$/u.test(prompt.text) && !/^\s/u.test(choice) ? ' ' : '';
  const plain = tokenizer.encode(prompt.text + space + choice).ids;
  // What the tokenizer put in front of the prompt (BOS) stays there.
  const extra = prompt.ids.length - tokenizer.encode(prompt.text).ids.length;
  const ids = [...prompt.ids.slice(0, extra), ...plain];
  let from = 0;
  while (from < prompt.ids.length && prompt.ids[from] === ids[from]) from++;
  return { ids, from };
}

/** Scores in as few runs as there is room for. */
async function scoreAll(text: TextModel, source: AdapterSource, sequences: readonly ScoredSequence[]) {
  const longest = Math.max(...sequences.map(({ ids }) => ids.length));
  const capacity = Math.max(SCORED_TOKENS, 2 ** Math.ceil(Math.log2(longest)));
  const scorer = await text.scorer(source, capacity);
  // Where rotary embeddings depend on the length, each sequence has its own.
  const alone = text.model.spec.ropes.some(({ long }) => long !== null);
  const scores: number[] = [];
  let run: ScoredSequence[] = [];
  let tokens = 0;
  for (const sequence of sequences) {
    if (run.length > 0 && (alone || tokens + sequence.ids.length > scorer.capacity)) {
      scores.push(...(await scorer.score(run)));
      run = [];
      tokens = 0;
    }
    run.push(sequence);
    tokens += sequence.ids.length;
  }
  return [...scores, ...(await scorer.score(run))];
}
