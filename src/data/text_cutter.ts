/**
 * Text → pre-tokens, by the stages that tokenizer_pipeline.ts leaves of a pre-tokenizer: all of them cut at an expression. Where its
 * matches are all of the text, as they nearly always are, they are taken at once; else the library's own way.
 */
import type { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';

interface Stage {
  readonly pattern: RegExp | null;
  pre_tokenize_text(text: string): string[];
}

export class TextCutter {
  readonly #stages: readonly Stage[];

  /** @param preTokenizer a sequence of splits, or null where text is not cut. */
  constructor(preTokenizer: LibraryTokenizer['pre_tokenizer']) {
    this.#stages = (preTokenizer as unknown as { readonly tokenizers: readonly Stage[] } | null)?.tokenizers ?? [];
  }

  /** The pieces in order, none of them empty. */
  cut(text: string): string[] {
    let pieces = [text];
    for (const stage of this.#stages) {
      pieces = pieces.length === 1 ? cutAt(stage, pieces[0]) : pieces.flatMap((piece) => cutAt(stage, piece));
    }
    return pieces;
  }
}

function cutAt(stage: Stage, text: string): string[] {
  const matches = stage.pattern && text.match(stage.pattern);
  if (!matches) return stage.pre_tokenize_text(text);
  let covered = 0;
  for (const match of matches) {
    // An expression that matches nothing would cut everywhere.
    if (match === '') return stage.pre_tokenize_text(text);
    covered += match.length;
  }
  return covered === text.length ? matches : stage.pre_tokenize_text(text);
}
