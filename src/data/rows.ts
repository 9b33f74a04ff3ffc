/**
 * What a row of a dataset says: plain text, a prompt with its completion, or a conversation. A row is judged by its own
 * fields ({@link shapeOf}), or read as a mapping says, column by column.
 */
import type { SystemPrompt } from '../formats/run_config.ts';
import type { ProblemKind } from './files/problem.ts';
import { alpacaPrompt, type ColumnRole, type Mapping, shapeOf } from './shapes.ts';

export interface Message {
  readonly role: string;
  readonly content: string;
  /** What an assistant thought before it answered, for templates that print it. */
  readonly reasoning_content?: string;
}

export type DataRow =
  | { readonly kind: 'text'; readonly line: number; readonly text: string }
  | { readonly kind: 'prompt'; readonly line: number; readonly prompt: string; readonly completion: string }
  | {
      readonly kind: 'messages';
      readonly line: number;
      readonly messages: readonly Message[];
      /** The first so many are the prompt, and only what follows them is trained; all of it where there is none. */
      readonly promptMessages?: number;
    };

export type RowKind = DataRow['kind'];

export interface RowOptions {
  /** Which column is what; each row is judged by its own fields when absent. */
  readonly mapping?: Mapping | undefined;
  readonly system?: SystemPrompt | undefined;
}

/** A row that cannot be used as it stands; `message` names the line, the field and what to do. */
export class RowError extends Error {
  override name = 'RowError';
  /** Line in the file, from 1. */
  readonly line: number;
  /** For example `messages[2].content`. */
  readonly field: string;
  readonly kind: ProblemKind;
  /** The message without the line. */
  readonly reason: string;
  constructor(line: number, field: string, kind: ProblemKind, what: string) {
    super(`Line ${line}: ${what}`);
    this.line = line;
    this.field = field;
    this.kind = kind;
    // A field keeps its name's letters.
    this.reason =
      field !== '' && field.startsWith(what.split(' ', 1)[0]) ? what : what.charAt(0).toUpperCase() + what.slice(1);
  }
}

const FORMATS = '{"text"}, {"prompt", "completion"} or {"messages": [{"role", "content"}]}';
const FIELD_OF: Record<RowKind, string> = { text: 'text', prompt: 'prompt', messages: 'messages' };

/**
 * Reads one value as a row. `expected` is the kind of the file's first row and only words the error. Unknown fields
 * are ignored; tool calls are refused by name, because they would silently be left out of what is trained.
 *
 * @throws RowError
 */
export function parseRow(value: unknown, line: number, expected?: RowKind, options: RowOptions = {}): DataRow {
  if (!isObject(value)) {
    const what = `the line is ${describe(value)}, not an object; write each row as ${FORMATS}.`;
    throw new RowError(line, '', 'not-a-row', what);
  }
  const row = options.mapping ? readMapped(value, line, options.mapping) : readShaped(value, line, expected);
  return row.kind === 'messages' ? withSystem(row, options.system) : row;
}

function readShaped(value: Record<string, unknown>, line: number, expected: RowKind | undefined): DataRow {
  const shape = shapeOf(value);
  switch (shape) {
    case 'text':
      return { kind: 'text', line, text: string(field(value, 'text'), line, 'text') };
    case 'prompt':
      if (isConversation(value.prompt) || isConversation(value.completion)) return promptedConversation(value, line);
      return {
        kind: 'prompt',
        line,
        prompt: string(field(value, 'prompt'), line, 'prompt'),
        completion: string(field(value, 'completion'), line, 'completion'),
      };
    case 'messages':
      refuseTools(value, line, '');
      return { kind: 'messages', line, messages: parseMessages(field(value, 'messages'), line) };
    case 'sharegpt':
      refuseTools(value, line, '');
      return { kind: 'messages', line, messages: parseConversations(field(value, 'conversations'), line) };
    case 'alpaca': {
      const input = field(value, 'input');
      return {
        kind: 'prompt',
        line,
        prompt: alpacaPrompt(
          string(field(value, 'instruction'), line, 'instruction'),
          input === undefined ? '' : string(input, line, 'input'),
        ),
        completion: string(field(value, 'output'), line, 'output'),
      };
    }
    case 'question':
      return {
        kind: 'messages',
        line,
        messages: [
          { role: 'user', content: string(field(value, 'question'), line, 'question') },
          { role: 'assistant', content: string(field(value, 'answer'), line, 'answer') },
        ],
      };
    case 'preference':
      throw new RowError(
        line,
        'chosen',
        'preference-pair',
        'the row is a preference pair (chosen, rejected), which preference training (DPO) takes and supervised training does not; ' +
          'map the columns by hand to train on the chosen answers alone.',
      );
    case 'unknown': {
      const wanted = expected ? FIELD_OF[expected] : 'text, prompt or messages';
      const empty = Object.keys(FIELD_OF).find((kind) => value[FIELD_OF[kind as RowKind]] === null);
      if (empty !== undefined) {
        const name = FIELD_OF[empty as RowKind];
        throw new RowError(line, name, 'empty-field', `${name} is empty (null); fill it in, or delete the row.`);
      }
      const found = Object.keys(value).slice(0, 8).join(', ') || 'no fields';
      throw new RowError(
        line,
        expected ? FIELD_OF[expected] : '',
        'missing-field',
        `the row has no ${wanted} field (it has ${found}); rows are ${FORMATS}. Add the field, or say which column is what.`,
      );
    }
    default:
      return shape satisfies never;
  }
}

/** Several columns of one role are set below each other, with a blank line between. */
function readMapped(value: Record<string, unknown>, line: number, { columns }: Mapping): DataRow {
  const texts = new Map<ColumnRole, string[]>();
  for (const [column, role] of Object.entries(columns)) {
    const cell = field(value, column);
    if (role === 'messages') {
      refuseTools(value, line, '');
      return { kind: 'messages', line, messages: parseConversation(cell, line, column) };
    }
    const text = cell === undefined ? '' : scalar(cell, line, column);
    if (text.trim() !== '') texts.set(role, [...(texts.get(role) ?? []), text]);
  }
  const roles = new Set(Object.values(columns));
  const take = (role: ColumnRole): string => {
    const text = texts.get(role)?.join('\n\n');
    if (text !== undefined) return text;
    const named = Object.keys(columns).filter((column) => columns[column] === role);
    const column = named.join(', ');
    throw new RowError(line, column, 'empty-field', `${column} is empty; fill it in, or delete the row.`);
  };
  if (roles.has('text')) return { kind: 'text', line, text: take('text') };
  if (roles.has('prompt') || roles.has('completion')) {
    return { kind: 'prompt', line, prompt: take('prompt'), completion: take('completion') };
  }
  const messages = (['system', 'user', 'assistant'] as const)
    .filter((role) => roles.has(role) && (role !== 'system' || texts.has(role)))
    .map((role) => ({ role, content: take(role) }));
  return { kind: 'messages', line, messages };
}

type Conversation = DataRow & { readonly kind: 'messages' };

function withSystem(row: Conversation, system: SystemPrompt | undefined): Conversation {
  const { messages, promptMessages } = row;
  if (!system || system.text === '') return row;
  if (system.mode === 'add' && messages.some(isSystem)) return row;
  const others = messages.filter((message) => !isSystem(message));
  const added = { role: 'system', content: system.text };
  if (promptMessages === undefined) return { ...row, messages: [added, ...others] };
  const kept = messages.slice(0, promptMessages).filter((message) => !isSystem(message)).length;
  return { ...row, messages: [added, ...others], promptMessages: kept + 1 };
}

const isSystem = ({ role }: Message) => role === 'system';

/** Prompt and completion as messages each (TRL's conversational prompt-completion); in a table's cell they may be JSON. */
function isConversation(value: unknown): boolean {
  const list = fromText(value);
  return Array.isArray(list) && list.length > 0 && list.every((one) => isObject(one) && Object.hasOwn(one, 'role'));
}

function promptedConversation(value: Record<string, unknown>, line: number): Conversation {
  refuseTools(value, line, '');
  const prompt = parseMessages(field(value, 'prompt'), line, 'prompt');
  const completion = parseMessages(field(value, 'completion'), line, 'completion');
  return { kind: 'messages', line, messages: [...prompt, ...completion], promptMessages: prompt.length };
}

/** Of a column that was mapped by hand: either way of writing conversations. */
function parseConversation(value: unknown, line: number, name: string): Message[] {
  const list = fromText(value);
  const first: unknown = Array.isArray(list) ? list[0] : undefined;
  return isObject(first) && Object.hasOwn(first, 'from')
    ? parseConversations(list, line, name)
    : parseMessages(list, line, name);
}

function parseMessages(value: unknown, line: number, name = 'messages'): Message[] {
  return listOf(value, line, name, '{"role", "content"}').map((message, index) => {
    const at = `${name}[${index}]`;
    if (!isObject(message)) {
      const what = `${at} is ${describe(message)}; it must be an object with role and content.`;
      throw new RowError(line, at, 'wrong-type', what);
    }
    refuseTools(message, line, `${at}.`);
    const role = parseRole(field(message, 'role'), line, `${at}.role`);
    const thinking = parseThinking(message, role, line, at);
    return {
      role,
      content: content(field(message, 'content'), line, `${at}.content`),
      ...(thinking !== undefined && { reasoning_content: thinking }),
    };
  });
}

/**
 * A message's text, or its parts one after the other, as templates that know parts print them (Llama 4, SmolVLM): nothing stands
 * between. What is no text has no place in what is trained here.
 */
function content(value: unknown, line: number, name: string): string {
  if (!Array.isArray(value)) return string(value, line, name);
  const texts = value.map((part: unknown, index) => {
    const at = `${name}[${index}]`;
    if (typeof part === 'string') return part;
    if (!isObject(part)) {
      const what = `${at} is ${describe(part)}; it must be a string, or an object with type and text.`;
      throw new RowError(line, at, 'wrong-type', what);
    }
    const type = field(part, 'type') ?? 'text';
    if (type !== 'text') {
      const named = typeof type === 'string' ? JSON.stringify(type.slice(0, 40)) : describe(type);
      const what = `${at} is of type ${named}, and only text is trained on; remove the part, or the row.`;
      throw new RowError(line, `${at}.type`, 'unsupported', what);
    }
    return string(field(part, 'text'), line, `${at}.text`);
  });
  return texts.join('');
}

/**
 * `reasoning_content`, as templates call it (Qwen3 and after it most others); whether the model's own prints it is seen later. By other
 * names a template would leave it out in silence.
 */
function parseThinking(message: Record<string, unknown>, role: string, line: number, at: string): string | undefined {
  const refuse = (name: string, what: string) =>
    new RowError(line, `${at}.${name}`, 'unsupported', `${at}.${name} ${what}`);
  for (const name of ['thinking', 'reasoning']) {
    if (isNothing(field(message, name))) continue;
    throw refuse(name, 'holds thinking; call the field reasoning_content, or remove it to train without the thinking.');
  }
  const value = field(message, 'reasoning_content');
  if (isNothing(value)) return undefined;
  if (role !== 'assistant')
    throw refuse('reasoning_content', `belongs to an assistant's message, not to one of ${role}; remove it.`);
  return string(value, line, `${at}.reasoning_content`);
}

const SHAREGPT_ROLES: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bard: 'assistant',
  bing: 'assistant',
  model: 'assistant',
  assistant: 'assistant',
  system: 'system',
};

/** ShareGPT's turns. */
function parseConversations(value: unknown, line: number, name = 'conversations'): Message[] {
  return listOf(value, line, name, '{"from", "value"}').map((turn, index) => {
    const at = `${name}[${index}]`;
    if (!isObject(turn)) {
      throw new RowError(
        line,
        at,
        'wrong-type',
        `${at} is ${describe(turn)}; it must be an object with from and value.`,
      );
    }
    const from = string(field(turn, 'from'), line, `${at}.from`);
    if (!Object.hasOwn(SHAREGPT_ROLES, from)) {
      const what = `${at}.from is ${JSON.stringify(from.slice(0, 40))}; only human, gpt and system take part, tools are not supported yet.`;
      throw new RowError(line, `${at}.from`, 'unsupported', what);
    }
    return { role: SHAREGPT_ROLES[from], content: string(field(turn, 'value'), line, `${at}.value`) };
  });
}

function listOf(value: unknown, line: number, name: string, of: string): unknown[] {
  const list = fromText(value);
  if (!Array.isArray(list)) {
    throw new RowError(line, name, 'wrong-type', `${name} is ${describe(value)}; it must be a list of ${of}.`);
  }
  if (list.length === 0) {
    throw new RowError(line, name, 'empty-field', `${name} is empty; give at least one message, or delete the row.`);
  }
  return list;
}

/** Tables have no lists: there a conversation stands as JSON in its cell. */
function fromText(value: unknown): unknown {
  if (typeof value !== 'string' || !value.trimStart().startsWith('[')) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** A name: templates print it among their own delimiters, where other text could pass for one of them. */
function parseRole(value: unknown, line: number, name: string): string {
  const role = string(value, line, name);
  if (/^[\p{L}\p{N} _.-]{1,64}$/u.test(role)) return role;
  throw new RowError(line, name, 'wrong-type', `${name} is not a role; use system, user or assistant.`);
}

/** Null and empty lists say that there are none, as many exported datasets do. */
function refuseTools(object: Record<string, unknown>, line: number, prefix: string): void {
  for (const name of ['tools', 'tool_calls', 'functions', 'function_call']) {
    if (isNothing(field(object, name))) continue;
    throw new RowError(
      line,
      `${prefix}${name}`,
      'unsupported',
      `${prefix}${name} holds tool calls, which are not supported yet; remove the row, or the field if its text does not matter.`,
    );
  }
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === '' || (Array.isArray(value) && value.length === 0);
}

/** An own property that is not null: tables exported to JSON have every column in every row, null where it is empty. */
function field(object: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(object, name) ? (object[name] ?? undefined) : undefined;
}

function string(value: unknown, line: number, name: string): string {
  if (typeof value === 'string') return value;
  if (value === undefined) {
    throw new RowError(line, name, 'missing-field', `the row has no ${name}; add it, or delete the row.`);
  }
  throw new RowError(line, name, 'wrong-type', `${name} is ${describe(value)}; it must be a string.`);
}

/** A cell of a mapped column: numbers and the like are text there. */
function scalar(value: unknown, line: number, name: string): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return string(value, line, name);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
