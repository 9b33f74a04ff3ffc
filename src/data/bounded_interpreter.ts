/**
 * A template's interpreter that ends a template which takes too much memory, before a thrown-away worker would take its page along: a browser's
 * workers share one process. Time is not its concern.
 */
import { Interpreter } from '@huggingface/jinja';

/** Characters of one text, a rendered conversation for one. */
const TEXT_CAP = 64 * 2 ** 20;
/** Items of lists and mappings that one rendering may make, all together; sixteen characters count as one. */
const ITEM_BUDGET = 16 * 2 ** 20;

/** What makes values; names and literals only hand on what is there. */
const MAKERS: ReadonlySet<string> = new Set([
  ...['BinaryExpression', 'CallExpression', 'FilterExpression', 'MemberExpression', 'FilterStatement', 'CallStatement'],
  ...['ArrayLiteral', 'TupleLiteral', 'ObjectLiteral', 'For', 'Program'],
]);

export class BoundedInterpreter extends Interpreter {
  #left = ITEM_BUDGET;

  /** @throws Error when the rendering has made more than it may. */
  override evaluate(
    ...[statement, environment]: Parameters<Interpreter['evaluate']>
  ): ReturnType<Interpreter['evaluate']> {
    const result = super.evaluate(statement, environment);
    if (statement && MAKERS.has(statement.type)) this.#charge(result.value);
    return result;
  }

  #charge(value: unknown): void {
    if (typeof value === 'string') {
      if (value.length > TEXT_CAP)
        throw new Error(`it takes too much memory: a text is longer than ${TEXT_CAP} characters`);
      this.#left -= value.length / 16;
    } else if (Array.isArray(value)) {
      this.#left -= value.length;
    } else if (value instanceof Map) {
      this.#left -= value.size;
    }
    if (this.#left < 0) throw new Error('it takes too much memory: what it makes of the conversation is too large');
  }
}
