/** Python's regular expressions, as far as JavaScript's are the same: for `target_modules` and patterns of an adapter. */

export class PatternError extends Error {
  override name = 'PatternError';
}

/** Longer ones are hostile rather than useful. */
const LENGTH_CAP = 1_000;
/** Python's own: inline flags, named groups, comments, conditions, \A and \Z, possessive quantifiers. */
const PYTHON_ONLY = /\(\?(?:P|#|\(|[aiLmsux-]+[:)]|>)|\\[AZ]|[*+?}]\+/;
/** A repeated group that itself repeats: the form in which matching a short path can take for ever. */
const NESTED_REPEAT = /[*+}][^()[\]]*\)(?:[*+]|\{\d*,)/;

/**
 * A test whether the whole of a text matches (`re.fullmatch`). Throws {@link PatternError} for what JavaScript would read
 * otherwise, cannot read, or might need for ever to match.
 */
export function pythonPattern(pattern: string): (text: string) => boolean {
  const shown = JSON.stringify(pattern.slice(0, 80));
  if (pattern.length > LENGTH_CAP) throw new PatternError(`the expression ${shown}… is longer than ${LENGTH_CAP}.`);
  if (PYTHON_ONLY.test(pattern)) {
    throw new PatternError(
      `the expression ${shown} uses a form that only Python has. List the modules by name instead.`,
    );
  }
  if (NESTED_REPEAT.test(pattern)) {
    throw new PatternError(`the expression ${shown} repeats a repetition. List the modules by name instead.`);
  }
  let compiled: RegExp;
  try {
    compiled = new RegExp(`^(?:${pattern})$`);
  } catch {
    throw new PatternError(`${shown} is not a regular expression. List the modules by name instead.`);
  }
  return (text) => compiled.test(text);
}
