/**
 * What a line of a dataset says: plain text, a prompt with its completion, or a conversation. A row is judged by its own
 * fields, so a file may mix the three; a row that lacks what it needs ends the run with its line and field.
 */

export interface Message {
  readonly role: string;
  readonly content: string;
  /** What an assistant thought before it answered, for templates that print it. */
  readonly reasoning_content?: string;
}

export type DataRow =
  | { readonly kind: 'text'; readonly line: number; readonly text: string }
  | { readonly kind: 'prompt'; readonly line: number; readonly prompt: string; readonly completion: string }
  | { readonly kind: 'messages'; readonly line: number; readonly messages: readonly Message[] };

export type RowKind = DataRow['kind'];

/** A row that cannot be used as it stands; `message` names the line, the field and what to do. */
export class RowError extends Error {
  override name = 'RowError';
  /** Line in the file, from 1. */
  readonly line: number;
  /** For example `messages[2].content`. */
  readonly field: string;
  constructor(line: number, field: string, what: string) {
    super(`Line ${line}: ${what}`);
    this.line = line;
    this.field = field;
  }
}

const FORMATS = '{"text"}, {"prompt", "completion"} or {"messages": [{"role", "content"}]}';
const FIELD_OF: Record<RowKind, string> = { text: 'text', prompt: 'prompt', messages: 'messages' };

/**
 * Reads one JSON value as a row. `expected` is the kind of the file's first row and only words the error. Unknown fields
 * are ignored; tool calls are refused by name, because they would silently be left out of what is trained.
 *
 * @throws RowError
 */
export function parseRow(value: unknown, line: number, expected?: RowKind): DataRow {
  if (!isObject(value)) {
    throw new RowError(line, '', `the line is ${describe(value)}, not an object; write each row as ${FORMATS}.`);
  }
  // The order is the reference's: a row with both `text` and `messages` is text.
  const text = field(value, 'text');
  if (text !== undefined) return { kind: 'text', line, text: string(text, line, 'text') };
  const prompt = field(value, 'prompt');
  if (prompt !== undefined) {
    return {
      kind: 'prompt',
      line,
      prompt: string(prompt, line, 'prompt'),
      completion: string(field(value, 'completion'), line, 'completion'),
    };
  }
  const messages = field(value, 'messages');
  if (messages !== undefined) {
    refuseTools(value, line, '');
    return { kind: 'messages', line, messages: parseMessages(messages, line) };
  }
  const wanted = expected ? FIELD_OF[expected] : 'text, prompt or messages';
  const found = Object.keys(value).slice(0, 8).join(', ') || 'no fields';
  throw new RowError(
    line,
    expected ? FIELD_OF[expected] : '',
    `the row has no ${wanted} field (it has ${found}); rows are ${FORMATS}. Add the field, or rename the one that holds it.`,
  );
}

function parseMessages(value: unknown, line: number): Message[] {
  if (!Array.isArray(value)) {
    throw new RowError(line, 'messages', `messages is ${describe(value)}; it must be a list of {"role", "content"}.`);
  }
  if (value.length === 0) {
    throw new RowError(line, 'messages', 'messages is empty; give at least one message, or delete the row.');
  }
  return value.map((message: unknown, index) => {
    const at = `messages[${index}]`;
    if (!isObject(message)) {
      throw new RowError(line, at, `${at} is ${describe(message)}; it must be an object with role and content.`);
    }
    refuseTools(message, line, `${at}.`);
    return {
      role: parseRole(field(message, 'role'), line, `${at}.role`),
      content: string(field(message, 'content'), line, `${at}.content`),
    };
  });
}

/** A name: templates print it among their own delimiters, where other text could pass for one of them. */
function parseRole(value: unknown, line: number, name: string): string {
  const role = string(value, line, name);
  if (/^[\p{L}\p{N} _.-]{1,64}$/u.test(role)) return role;
  throw new RowError(line, name, `${name} is not a role; use system, user or assistant.`);
}

/** Null and empty lists say that there are none, as many exported datasets do. */
function refuseTools(object: Record<string, unknown>, line: number, prefix: string): void {
  for (const name of ['tools', 'tool_calls']) {
    const value = field(object, name);
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    throw new RowError(
      line,
      `${prefix}${name}`,
      `${prefix}${name} holds tool calls, which are not supported yet; remove the row, or the field if its text does not matter.`,
    );
  }
}

/** An own property that is not null: tables exported to JSON have every column in every row, null where it is empty. */
function field(object: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(object, name) ? (object[name] ?? undefined) : undefined;
}

function string(value: unknown, line: number, name: string): string {
  if (typeof value === 'string') return value;
  if (value === undefined) {
    throw new RowError(line, name, `the row has no ${name}; add it, or delete the row.`);
  }
  throw new RowError(line, name, `${name} is ${describe(value)}; it must be a string.`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
