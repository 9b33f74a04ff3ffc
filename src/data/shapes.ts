/** The shapes that datasets come in, told by their fields, and what to say of a file whose rows were looked at. */

import type { ColumnRoles } from '../formats/run_config.ts';

export type Shape =
  | 'text'
  | 'prompt'
  | 'messages'
  | 'sharegpt'
  | 'alpaca'
  | 'question'
  /** chosen and rejected: recognised, and refused. */
  | 'preference'
  | 'unknown';

/** What a column is for, when it is mapped by hand. */
export type ColumnRole = ColumnRoles[string];

/** Column → role; a column that is not named is not used. */
export interface Mapping {
  readonly columns: ColumnRoles;
}

/** The order is the reference's: a row with both `text` and `messages` is text. */
export function shapeOf(row: Readonly<Record<string, unknown>>): Shape {
  const has = (name: string) => Object.hasOwn(row, name) && row[name] !== null && row[name] !== undefined;
  if (has('text')) return 'text';
  if (has('chosen') && has('rejected')) return 'preference';
  if (has('prompt')) return 'prompt';
  if (has('messages')) return 'messages';
  if (has('conversations')) return 'sharegpt';
  if (has('instruction') && has('output')) return 'alpaca';
  if (has('question') && has('answer')) return 'question';
  return 'unknown';
}

export interface DetectedShape {
  readonly shape: Shape | 'mixed';
  /** A sentence that says by what it was told. */
  readonly reason: string;
  /** All fields of the rows that were looked at, in the order of their first appearance. */
  readonly columns: readonly string[];
}

/** Fields shown for mapping at most. */
const COLUMNS_SHOWN = 200;

const REASONS: Readonly<Record<Exclude<Shape, 'unknown'>, string>> = {
  text: 'text: the whole of it is trained',
  prompt: 'prompt and completion: the completion is trained',
  messages: 'messages, a list of role and content',
  sharegpt: 'conversations, a list of from and value (ShareGPT); human is read as user, gpt as assistant',
  alpaca: 'instruction and output (Alpaca), put into Alpaca’s prompt',
  question: 'question and answer, read as user and assistant',
  preference:
    'chosen and rejected: preference pairs, which preference training (DPO) takes and supervised training does not. Map the chosen column by hand to train on it alone',
};

/** Looks at a file's first rows. */
export function detectShape(rows: readonly unknown[]): DetectedShape {
  const counts = new Map<Shape, number>();
  const columns = new Set<string>();
  for (const row of rows) {
    const object = typeof row === 'object' && row !== null && !Array.isArray(row) ? row : {};
    const shape = shapeOf(object as Record<string, unknown>);
    counts.set(shape, (counts.get(shape) ?? 0) + 1);
    for (const name of Object.keys(object)) if (columns.size < COLUMNS_SHOWN) columns.add(name);
  }
  const shapes = [...counts].sort((a, b) => b[1] - a[1]);
  const known = shapes.filter(([shape]) => shape !== 'unknown');
  const base = { columns: [...columns] };
  const seen = rows.length === 1 ? 'The first row has' : `The first ${rows.length} rows have`;
  if (rows.length === 0) return { ...base, shape: 'unknown', reason: 'There are no rows.' };
  if (known.length === 0) {
    const found = base.columns.slice(0, 8).join(', ') || 'no fields';
    return {
      ...base,
      shape: 'unknown',
      reason: `No shape that is known: the rows have ${found}. Say which column is what.`,
    };
  }
  const [[shape, count]] = known;
  if (known.length > 1) {
    const parts = known.map(([one, rowsOfIt]) => `${one} (${rowsOfIt})`).join(', ');
    return { ...base, shape: 'mixed', reason: `The rows differ: ${parts}. Each is read by its own fields.` };
  }
  const some = count === rows.length ? seen : `${count} of the first ${rows.length} rows have`;
  return { ...base, shape, reason: `${some} ${REASONS[shape as Exclude<Shape, 'unknown'>]}.` };
}

const WITH_INPUT =
  'Below is an instruction that describes a task, paired with an input that provides further context. ' +
  'Write a response that appropriately completes the request.';
const WITHOUT_INPUT =
  'Below is an instruction that describes a task. Write a response that appropriately completes the request.';

/** Stanford Alpaca's own prompt (train.py, PROMPT_DICT). */
export function alpacaPrompt(instruction: string, input: string): string {
  const task = `### Instruction:\n${instruction}\n\n`;
  if (input === '') return `${WITHOUT_INPUT}\n\n${task}### Response:\n`;
  return `${WITH_INPUT}\n\n${task}### Input:\n${input}\n\n### Response:\n`;
}
