/**
 * Renders a model's own chat template as transformers' `apply_chat_template` does: trim_blocks and lstrip_blocks, the special
 * tokens by name, `raise_exception`, `strftime_now`, `tojson`. Rendering is a pure function of the template, the messages and
 * the date, so it can be moved into a worker that is thrown away when a template does not end.
 */
import { Environment, parse, tokenize } from '@huggingface/jinja';
import { BoundedInterpreter } from './bounded_interpreter.ts';
import { PYTHON_FUNCTIONS, withPythonStrings } from './jinja_python.ts';
import type { Message } from './rows.ts';
import type { SpecialTokens } from './tokenizer_files.ts';

/** The template cannot be read, or refuses a conversation; `detail` is the template's or the parser's own message. */
export class ChatTemplateError extends Error {
  override name = 'ChatTemplateError';
  readonly detail: string;
  constructor(message: string, detail: string) {
    super(message);
    this.detail = detail;
  }
}

/** Renders a conversation; with `addGenerationPrompt` up to where the assistant's answer begins. */
export type RenderChat = (messages: readonly Message[], addGenerationPrompt: boolean) => string;

/** A template has no use for longer ranges; `range(1e9)` would fill the memory before anything could stop it. */
const RANGE_CAP = 100_000;

export interface ChatTemplateOptions {
  /** What `strftime_now` tells, one moment for all rows; the time of the call when absent. */
  readonly now?: Date;
}

/**
 * Compiles a template once for many conversations.
 *
 * @throws ChatTemplateError when the source is not a template; the returned function when it refuses a conversation.
 */
export function compileChatTemplate(
  source: string,
  specialTokens: SpecialTokens,
  options: ChatTemplateOptions = {},
): RenderChat {
  const now = options.now ?? new Date();
  const program = compile(source);
  return (messages, addGenerationPrompt) => {
    const environment = new Environment();
    const variables: Record<string, unknown> = {
      ...PYTHON_FUNCTIONS,
      ...specialTokens,
      messages,
      add_generation_prompt: addGenerationPrompt,
      tools: null,
      documents: null,
      true: true,
      True: true,
      false: false,
      False: false,
      none: null,
      None: null,
      range,
      raise_exception: raiseException,
      strftime_now: (format: unknown) => strftime(now, String(format)),
    };
    for (const [name, value] of Object.entries(variables)) environment.set(name, value);
    let rendered: unknown;
    try {
      rendered = new BoundedInterpreter(environment).run(program).value;
    } catch (error) {
      throw refused(error);
    }
    if (typeof rendered !== 'string') throw refused(new Error('it renders no text'));
    return rendered;
  };
}

function compile(source: string): ReturnType<typeof parse> {
  try {
    // Jinja reads every line end as \n.
    const normalized = source.replaceAll(/\r\n?/g, '\n');
    return withPythonStrings(parse(tokenize(normalized, { lstrip_blocks: true, trim_blocks: true })));
  } catch (error) {
    const detail = messageOf(error);
    throw new ChatTemplateError(
      `The model's chat template cannot be read: ${detail} Choose another model, or rows with text or prompt and completion.`,
      detail,
    );
  }
}

function refused(error: unknown): ChatTemplateError {
  const detail = messageOf(error);
  return new ChatTemplateError(`The model's chat template refuses this conversation: ${detail}`, detail);
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 1000);
}

function raiseException(message: unknown): never {
  throw new Error(String(message));
}

/** Python's `range`. */
function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  if (step === 0) throw new Error('range() step must not be zero');
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= RANGE_CAP)) throw new Error(`range() of ${length} is longer than the ${RANGE_CAP} that are allowed`);
  return Array.from({ length }, (_, index) => start + index * step);
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June'],
  ...['July', 'August', 'September', 'October', 'November', 'December'],
];

/** The directives of Python's strftime that templates use, in English as in Python's default locale. */
function strftime(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const directives: Record<string, () => string> = {
    a: () => DAYS[date.getDay()]!.slice(0, 3),
    A: () => DAYS[date.getDay()]!,
    b: () => MONTHS[date.getMonth()]!.slice(0, 3),
    B: () => MONTHS[date.getMonth()]!,
    d: () => two(date.getDate()),
    H: () => two(date.getHours()),
    I: () => two(date.getHours() % 12 || 12),
    m: () => two(date.getMonth() + 1),
    M: () => two(date.getMinutes()),
    p: () => (date.getHours() < 12 ? 'AM' : 'PM'),
    S: () => two(date.getSeconds()),
    y: () => two(date.getFullYear() % 100),
    Y: () => String(date.getFullYear()),
    '%': () => '%',
  };
  return format.replaceAll(/%([a-zA-Z%])/g, (directive, letter: string) =>
    Object.hasOwn(directives, letter) ? directives[letter]!() : directive,
  );
}
