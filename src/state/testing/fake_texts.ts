/** What the pretended model writes: the base rambles, the tuned one answers as a fable does. */
import type { EvaluationResult, RowPiece, TryInput } from '../../worker/studio_protocol.ts';

const BASE =
  'The fox is a small animal that lives in the forest. It is a very common animal, and it is found in many parts of the world. The fox is';
const TUNED =
  'A Fox, seeing grapes hang high upon a vine, leapt for them until he was weary. "They are sour," said he, and went his way.\n\nMoral: It is easy to despise what you cannot get. 🦊';

export const fakeAnswer = (strength: number, prompt: number): string =>
  `${strength < 0.5 ? BASE : TUNED}${prompt > 0 ? ` (${prompt + 1})` : ''}`;

export function fakePrompt(input: TryInput): { pieces: RowPiece[]; tokens: number } {
  const piece = (text: string, special = false): RowPiece => ({ text, trained: false, special });
  const words = (text: string) => text.split(/(?= )/).map((word) => piece(word));
  const pieces =
    input.kind === 'text'
      ? words(input.text)
      : [
          ...input.messages.flatMap(({ role, content }) => [
            piece('<|im_start|>', true),
            piece(`${role}\n`),
            ...words(content),
            piece('<|im_end|>', true),
            piece('\n'),
          ]),
          piece('<|im_start|>', true),
          piece('assistant\n'),
        ];
  return { pieces, tokens: pieces.length };
}

export function fakeEvaluation(answered: number, tuned: boolean, stopped: boolean): EvaluationResult {
  const score = (share: number) => ({
    answered,
    correct: Math.round(answered * share),
    correctByLength: Math.round(answered * share),
  });
  const rows = Array.from({ length: answered }, (_, i) => ({
    line: i + 1,
    question: `What does fable ${i + 1} teach?`,
    expected: 'It is easy to despise what you cannot get.',
    base: 'The fable teaches that the fox',
    baseRight: i % 7 === 0,
    tuned: tuned ? 'It is easy to despise what you cannot get.' : null,
    tunedRight: tuned && i % 4 !== 3,
  }));
  return {
    kind: 'exact match',
    base: score(0.15),
    tuned: tuned ? score(0.75) : null,
    rows,
    skipped: 2,
    reason: 'Line 7: text asks nothing: an answer to compare with is missing',
    stopped,
    seconds: 4.8,
  };
}
