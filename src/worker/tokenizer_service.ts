/** The inside of a worker that cuts texts into tokens. */
import { encodeRows } from '../data/row_encoder.ts';
import { Tokenizer } from '../data/tokenizer.ts';
import { droppedFolder } from '../hub/dropped_folder.ts';
import type { TokenizerReply, TokenizerRequest } from './tokenizer_protocol.ts';

/** Answers requests, each after the one before it. */
export function serveTokenizer(post: (reply: TokenizerReply) => void): (request: TokenizerRequest) => void {
  let tokenizer: Promise<Tokenizer> | undefined;
  const answer = async (request: TokenizerRequest): Promise<void> => {
    try {
      if (request.type === 'open') {
        tokenizer = Tokenizer.load(droppedFolder('model', request.files));
        await tokenizer;
      } else {
        if (!tokenizer) throw new Error('it has no tokenizer');
        post({ type: 'encoded', encoded: encodeRows(await tokenizer, request.texts, request.maxLength) });
      }
    } catch (error) {
      post({ type: 'failed', reason: error instanceof Error ? error.message : String(error) });
    }
  };
  let last = Promise.resolve();
  return (request) => {
    last = last.then(() => answer(request));
  };
}
