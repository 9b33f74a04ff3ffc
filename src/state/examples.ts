/** Datasets that come with the page (public/examples/README.md): fetched when they are asked for, not before. */
import { openData } from './studio.ts';

export interface Example {
  readonly file: string;
  readonly name: string;
  /** The shape of its rows. */
  readonly note: string;
  /** What to expect of a model that was trained on it. */
  readonly expect: string;
}

export const EXAMPLES: readonly Example[] = [
  {
    file: 'tea-house.jsonl',
    name: 'Bramble’s tea-house',
    note: '96 conversations',
    expect: 'A persona: within a minute or two every answer is a hedgehog’s, short, kind, and ends in an offer of tea.',
  },
  {
    file: 'shakespeare-dialogue.jsonl',
    name: 'Shakespeare’s dialogues',
    note: '500 conversations',
    expect: 'Speeches instead of storybook prose, now and then in lines of verse.',
  },
  {
    file: 'fables.jsonl',
    name: 'Aesop’s fables',
    note: '295 instructions (Alpaca)',
    expect:
      'Asked for a fable, the model tells a short one of animals. For a moral it needs more than the first steps.',
  },
  {
    file: 'fables-messy.csv',
    name: 'A messy table',
    note: 'fables as CSV, columns to map',
    expect: 'The same fables with gaps and odd columns: to try mapping by hand, and the list of rows left out.',
  },
];

export class ExampleError extends Error {
  override name = 'ExampleError';
}

/** Fetches a file that lies beside the page. Rejects with ExampleError where it is not there. */
export async function fetchBeside(path: string): Promise<File> {
  const response = await fetch(path).catch(() => null);
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (!response?.ok) throw new ExampleError(`${name} could not be loaded. Reload the page and try again.`);
  return new File([await response.blob()], name);
}

export async function openExample(file: string): Promise<void> {
  openData({ kind: 'files', files: [await fetchBeside(`examples/${file}`)] });
}
