/**
 * Rows of a held-out file as questions with an answer that can be checked: multiple choice (`choices` or `options` and an
 * `answer`), or any shape that training knows, whose last answer is expected word for word.
 */
import { type Message, parseRow, RowError, type RowOptions } from './rows.ts';

/** What the model is asked: a conversation that its template renders, or text to go on with. */
export type Question =
  | { readonly kind: 'chat'; readonly messages: readonly Message[] }
  | { readonly kind: 'text'; readonly text: string };

export type Task =
  | { readonly kind: 'exact'; readonly question: Question; readonly expected: string }
  | {
      readonly kind: 'choice';
      readonly question: Question;
      readonly choices: readonly string[];
      readonly answer: number;
    };

const QUESTION_FIELDS = ['question', 'query', 'prompt', 'instruction', 'input'];
const ANSWER_FIELDS = ['answer', 'answerKey', 'answer_index', 'label', 'gold'];

/** @throws RowError where a row asks nothing that can be checked */
export function parseTask(value: unknown, line: number, options: RowOptions = {}): Task {
  if (isRecord(value) && (value.choices !== undefined || value.options !== undefined)) return choiceTask(value, line);
  const row = parseRow(value, line, undefined, options);
  switch (row.kind) {
    case 'text':
      throw new RowError(line, 'text', 'not-a-row', 'text asks nothing: an answer to compare with is missing');
    case 'prompt':
      return { kind: 'exact', question: { kind: 'text', text: row.prompt }, expected: row.completion };
    case 'messages': {
      const last = row.messages.at(-1);
      if (last?.role !== 'assistant') {
        throw new RowError(line, 'messages', 'not-a-row', 'messages do not end with an answer of the assistant');
      }
      return { kind: 'exact', question: { kind: 'chat', messages: row.messages.slice(0, -1) }, expected: last.content };
    }
    default:
      return row satisfies never;
  }
}

function choiceTask(value: Record<string, unknown>, line: number): Task {
  const { texts, labels } = choicesOf(value.choices ?? value.options, line);
  const name = ANSWER_FIELDS.find((field) => value[field] !== undefined);
  if (!name) throw new RowError(line, 'answer', 'missing-field', 'answer is missing: the number or letter of a choice');
  const answer = indexOf(value[name], texts, labels);
  if (answer < 0) {
    throw new RowError(
      line,
      name,
      'not-a-row',
      `${name} is ${JSON.stringify(value[name])}, which is none of the choices`,
    );
  }
  return { kind: 'choice', question: questionOf(value, line), choices: texts, answer };
}

/** A list of texts, or `{text: [...], label: [...]}` as ARC has it. */
function choicesOf(value: unknown, line: number): { texts: string[]; labels: string[] } {
  const letters = (count: number) => Array.from({ length: count }, (_, i) => String.fromCharCode(65 + i));
  const list: unknown = isRecord(value) ? value.text : value;
  if (!Array.isArray(list) || list.length < 2 || list.some((choice) => typeof choice !== 'string' || choice === '')) {
    throw new RowError(line, 'choices', 'not-a-row', 'choices are not a list of two texts or more');
  }
  const texts = list as string[];
  const labels = isRecord(value) && Array.isArray(value.label) ? value.label.map(String) : letters(texts.length);
  return { texts, labels };
}

/** A number from 0, a label, or the text of a choice. */
function indexOf(answer: unknown, texts: readonly string[], labels: readonly string[]): number {
  if (typeof answer === 'number') return Number.isInteger(answer) && answer < texts.length ? answer : -1;
  if (typeof answer !== 'string') return -1;
  const byLabel = labels.indexOf(answer.trim());
  if (byLabel >= 0) return byLabel;
  const byText = texts.indexOf(answer);
  return byText >= 0 || !/^\d+$/.test(answer) ? byText : Number(answer) < texts.length ? Number(answer) : -1;
}

function questionOf(value: Record<string, unknown>, line: number): Question {
  if (Array.isArray(value.messages)) {
    // Its last message stands for the answer that a conversation must have.
    const messages = [...(value.messages as unknown[]), { role: 'assistant', content: 'x' }];
    const row = parseRow({ messages }, line);
    if (row.kind === 'messages') return { kind: 'chat', messages: row.messages.slice(0, -1) };
  }
  const name = QUESTION_FIELDS.find((field) => typeof value[field] === 'string');
  if (!name) throw new RowError(line, 'question', 'missing-field', 'question is missing');
  const text = value[name] as string;
  if (name === 'prompt') return { kind: 'text', text };
  return { kind: 'chat', messages: [{ role: 'user', content: text }] };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
