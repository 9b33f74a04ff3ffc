/**
 * Where @huggingface/jinja's strings are not Python's: its `strip`, `lstrip` and `rstrip` ignore their argument, its whitespace is
 * JavaScript's, lengths count UTF-16 units, `capitalize` and `title` keep capitals, and `==` is JavaScript's (`'' == false`). A parsed template is
 * rewritten so that these go to the functions below, which it is given as variables.
 */
import type { parse } from '@huggingface/jinja';
import { capitalize, split, strip, title } from './python_text.ts';

type Program = ReturnType<typeof parse>;
type Node = Record<string, unknown> & { readonly type: string };
type PythonFunction = (value: unknown, ...args: unknown[]) => unknown;

/** `text.method(…)`. */
const METHODS: Readonly<Record<string, PythonFunction>> = {
  strip: (value, characters) => strip(text(value, 'strip'), 'both', optional(characters)),
  lstrip: (value, characters) => strip(text(value, 'lstrip'), 'left', optional(characters)),
  rstrip: (value, characters) => strip(text(value, 'rstrip'), 'right', optional(characters)),
  split: (value, ...args) => {
    const { sep, maxsplit } = named(args, ['sep', 'maxsplit']);
    return split(text(value, 'split'), optional(sep), typeof maxsplit === 'number' ? maxsplit : -1);
  },
  capitalize: (value) => capitalize(text(value, 'capitalize')),
  title: (value) => title(text(value, 'title')),
};

/** `value | filter(…)`. */
const FILTERS: Readonly<Record<string, PythonFunction>> = {
  trim: (value, ...args) => strip(printed(value), 'both', optional(named(args, ['chars']).chars)),
  capitalize: (value) => capitalize(printed(value)),
  title: (value) => title(printed(value)),
  length: (value) => {
    if (typeof value === 'string') return [...value].length;
    if (Array.isArray(value)) return value.length;
    if (value instanceof Map) return value.size;
    throw new Error(`a value of type ${typeof value} has no length`);
  },
};

const OPERATORS: Readonly<Record<string, PythonFunction>> = {
  '==': (left, right) => equal(left, right),
  '!=': (left, right) => !equal(left, right),
};

/** The functions by the names under which a rewritten template calls them; no template can use such a name itself. */
export const PYTHON_FUNCTIONS: Readonly<Record<string, PythonFunction>> = Object.fromEntries([
  ...Object.entries(METHODS).map(([name, fn]) => [`method ${name}`, fn]),
  ...Object.entries(FILTERS).map(([name, fn]) => [`filter ${name}`, fn]),
  ...Object.entries(OPERATORS).map(([name, fn]) => [`operator ${name}`, fn]),
]);

/**
 * Rewrites a program in place.
 *
 * @throws Error for `{% filter … %}` blocks of these filters, which no known template has.
 */
export function withPythonStrings(program: Program): Program {
  rewrite(program);
  return program;
}

/** The value, or the call that takes its place. */
function rewrite(value: unknown): unknown {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) value[index] = rewrite(item);
    return value;
  }
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]) => [rewrite(key), rewrite(item)] as const);
    value.clear();
    for (const [key, item] of entries) value.set(key, item);
    return value;
  }
  if (!isNode(value)) return value;
  for (const key of Object.keys(value)) value[key] = rewrite(value[key]);
  switch (value.type) {
    case 'CallExpression': {
      const { callee, args } = value;
      if (!isNode(callee) || callee.type !== 'MemberExpression' || callee.computed === true) return value;
      const name = identifier(callee.property);
      return name !== undefined && Object.hasOwn(METHODS, name) ? call(`method ${name}`, callee.object, args) : value;
    }
    case 'FilterExpression': {
      const { name, args } = filterOf(value);
      return Object.hasOwn(FILTERS, name) ? call(`filter ${name}`, value.operand, args) : value;
    }
    case 'FilterStatement': {
      const { name } = filterOf(value);
      if (Object.hasOwn(FILTERS, name)) throw new Error(`a block filtered with ${name} is not supported`);
      return value;
    }
    case 'BinaryExpression': {
      const name = isNode(value.operator) ? String(value.operator.value) : '';
      return Object.hasOwn(OPERATORS, name) ? call(`operator ${name}`, value.left, [value.right]) : value;
    }
    default:
      return value;
  }
}

/** Python's `==`; lists and mappings hold the library's values, whose own is in `value`. */
function equal(left: unknown, right: unknown): boolean {
  if (typeof left === 'boolean' && typeof right === 'number') return Number(left) === right;
  if (typeof left === 'number' && typeof right === 'boolean') return left === Number(right);
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, index) => equal(item.value, right[index].value));
  }
  if (left instanceof Map && right instanceof Map) {
    if (left.size !== right.size) return false;
    return [...left].every(([key, item]) => right.has(key) && equal(item.value, right.get(key).value));
  }
  return left === right;
}

function call(name: string, operand: unknown, args: unknown): Node {
  const callee = { type: 'Identifier', value: name };
  return { type: 'CallExpression', callee, args: [operand, ...(Array.isArray(args) ? args : [])] };
}

function filterOf({ filter }: Node): { name: string; args: unknown } {
  if (!isNode(filter)) return { name: '', args: [] };
  return filter.type === 'CallExpression'
    ? { name: identifier(filter.callee) ?? '', args: filter.args }
    : { name: identifier(filter) ?? '', args: [] };
}

function identifier(value: unknown): string | undefined {
  return isNode(value) && value.type === 'Identifier' && typeof value.value === 'string' ? value.value : undefined;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

/** Arguments by position or name; the library gives those by name last, as a map of its own values. */
function named(args: readonly unknown[], names: readonly string[]): Record<string, unknown> {
  const last = args.at(-1);
  const keywords = last instanceof Map ? last : new Map<string, { value?: unknown }>();
  const positional = last instanceof Map ? args.slice(0, -1) : args;
  return Object.fromEntries(names.map((name, index) => [name, positional[index] ?? keywords.get(name)?.value]));
}

function text(value: unknown, method: string): string {
  if (typeof value === 'string') return value;
  throw new Error(
    `${value === null || value === undefined ? 'a missing value' : `a ${typeof value}`} has no ${method}()`,
  );
}

/** As the filters see a value: as text. */
function printed(value: unknown): string {
  if (value === undefined) return '';
  return value === null ? 'None' : String(value);
}

function optional(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
