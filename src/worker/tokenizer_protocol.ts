/** What goes to and from a worker that cuts texts into tokens, and that worker as its user sees it. */
import type { ModelText } from '../data/model_text.ts';
import type { EncodedRows } from '../data/row_encoder.ts';
import type { DroppedFile } from '../hub/dropped_folder.ts';

export type TokenizerRequest =
  /** The tokenizer's files, which cross without being copied. */
  | { readonly type: 'open'; readonly files: readonly DroppedFile[] }
  | { readonly type: 'encode'; readonly texts: readonly ModelText[]; readonly maxLength: number };

/** One for each `encode`, in order; `failed` ends the worker. */
export type TokenizerReply =
  | { readonly type: 'encoded'; readonly encoded: EncodedRows }
  | { readonly type: 'failed'; readonly reason: string };

export interface TokenizerWorker {
  post(request: TokenizerRequest): void;
  terminate(): void;
}

/** Starts one. `onFailure` is called when it cannot start or ends by itself. */
export type CreateTokenizerWorker = (
  onReply: (reply: TokenizerReply) => void,
  onFailure: (reason: string) => void,
) => TokenizerWorker;
