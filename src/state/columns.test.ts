import { expect, it } from 'vitest';
import { mappingError } from './columns.ts';

it.each([
  [{}, 'Say which column'],
  [{ a: 'text', b: 'prompt' }, 'Choose one way'],
  [{ a: 'prompt' }, 'needs a completion'],
  [{ a: 'user' }, 'assistant'],
  [{ a: 'user', b: 'assistant' }, null],
  [{ a: 'prompt', b: 'prompt', c: 'completion' }, null],
  [{ a: 'text' }, null],
  [{ a: 'assistant' }, null],
] as const)('%o: %s', (columns, message) => {
  if (message === null) expect(mappingError(columns)).toBeNull();
  else expect(mappingError(columns)).toContain(message);
});
