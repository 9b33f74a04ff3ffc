/** One of the Web Workers that cut texts into tokens. */
import type { TokenizerReply, TokenizerRequest } from './tokenizer_protocol.ts';
import { serveTokenizer } from './tokenizer_service.ts';

const serve = serveTokenizer((reply: TokenizerReply) =>
  self.postMessage(reply, { transfer: reply.type === 'encoded' ? [reply.encoded.tokens.buffer] : [] }),
);
self.addEventListener('message', ({ data }: MessageEvent<TokenizerRequest>) => serve(data));
