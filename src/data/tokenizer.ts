/**
 * A model's tokenizer: @huggingface/tokenizers with the offsets that it lacks and the places mended where it differs from
 * Hugging Face's own (Rust) tokenizers, which are the reference.
 *
 * Offsets are UTF-16 code units of the text as given, half-open, never trimmed: " word" begins at its space. A tokenizer
 * whose post-processor has `trim_offsets` (Llama 3) would report that token without its space in Python; which tokens
 * are trained must not depend on that, so the untrimmed range decides for every model.
 */
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import type { Folder } from '../formats/range_source.ts';
import { AddedTokenSplitter, type TextPart } from './added_tokens.ts';
import { type AlignedText, type NormalizerConfig, normalizeAligned, originOf } from './aligned_text.ts';
import { TextCutter } from './text_cutter.ts';
import { byteLevelText, rangesAlong, tokenBytes } from './token_offsets.ts';
import { mergeAddedTokens, readTokenizerFiles, type SpecialTokens, type TokenizerFiles } from './tokenizer_files.ts';
import { type JsonObject, type Pipeline, readPipeline, TokenizerError } from './tokenizer_pipeline.ts';

export interface Encoding {
  readonly ids: number[];
  /** For each id the range of the text that it covers: where it begins, and where it ends. */
  readonly begins: number[];
  readonly ends: number[];
}

/** A text whose tokens cannot be laid along it; the row that holds it is refused. */
export class TokenizeError extends Error {
  override name = 'TokenizeError';
}

/** The tokens of a pre-token, and their ranges in it. */
interface PieceTokens {
  readonly ids: readonly number[];
  readonly ranges: readonly (readonly [number, number])[];
}

/** Pre-tokens whose tokens are remembered: words, rarely anything longer. */
const PIECES_KEPT = 50_000;
const LONG_PIECE = 40;
/** From this length on V8 makes a part of a string a reference into the whole, which would be kept with it. */
const SLICED_LENGTH = 13;

const LONE_SURROGATE = /\p{Surrogate}/u;

export class Tokenizer {
  /** The token that ends a text or, with most chat templates, a turn; undefined when the model has none. */
  readonly eosToken: string | undefined;
  readonly eosTokenId: number | undefined;
  /** At which generation stops by the model's own settings; empty where they do not say. */
  readonly stopTokens: readonly string[];
  readonly bosToken: string | undefined;
  readonly bosTokenId: number | undefined;
  /** The end-of-sequence token's where there is no pad token: padding is never trained, so its id does not matter. */
  readonly padTokenId: number;
  /** Whether the tokenizer itself puts the BOS token before a text: as tokenizer_config.json says, else as its post-processor does. */
  readonly addsBos: boolean;
  /** The names and contents that chat templates are given. */
  readonly specialTokens: SpecialTokens;
  /** Contents of all added tokens, special or not. */
  readonly addedTokens: readonly string[];
  /** Jinja source of the model's chat template, if it has one. */
  readonly chatTemplate: string | undefined;

  readonly #library: LibraryTokenizer;
  readonly #pipeline: Pipeline;
  readonly #cutter: TextCutter;
  readonly #asWritten: AddedTokenSplitter;
  readonly #asNormalized: AddedTokenSplitter;
  readonly #bytes = new Map<string, Uint8Array | undefined>();
  readonly #pieces = new Map<string, PieceTokens>();

  /** @throws TokenizerError */
  constructor(files: TokenizerFiles) {
    if (files.config.split_special_tokens === true) {
      throw new TokenizerError(
        "This model's tokenizer takes special tokens for plain text (split_special_tokens), which is not supported. Choose another model.",
      );
    }
    const added = mergeAddedTokens(files);
    this.#pipeline = readPipeline({ ...files.tokenizer, added_tokens: added });
    this.specialTokens = files.specialTokens;
    this.addedTokens = added.map((token) => token.content);
    this.chatTemplate = files.chatTemplate;
    try {
      // The library's other settings belong to slow tokenizers, which the reference does not use.
      this.#library = new LibraryTokenizer(this.#pipeline.json, { eos_token: files.specialTokens.eos_token });
    } catch (error) {
      throw new TokenizerError(`tokenizer.json cannot be used (${messageOf(error)}). Download it again.`);
    }
    this.#cutter = new TextCutter(this.#library.pre_tokenizer);
    this.#asWritten = new AddedTokenSplitter(added.filter((token) => !token.normalized));
    this.#asNormalized = new AddedTokenSplitter(
      added.filter((token) => token.normalized),
      (token) => this.#library.normalizer?.normalize(token.content) ?? token.content,
    );
    this.eosToken = files.specialTokens.eos_token;
    this.eosTokenId = this.#namedId('eos_token');
    this.stopTokens = (files.stopIds ?? []).flatMap((id) => this.#library.id_to_token(id) ?? []);
    this.bosToken = files.specialTokens.bos_token;
    this.bosTokenId = this.#namedId('bos_token');
    this.padTokenId = this.#namedId('pad_token') ?? this.eosTokenId ?? 0;
    this.addsBos = this.#detectBos(files.config);
  }

  /** @throws TokenizerError when the folder's tokenizer is missing, damaged or not supported. */
  static async load(folder: Folder): Promise<Tokenizer> {
    return new Tokenizer(await readTokenizerFiles(folder));
  }

  /**
   * Tokenizes a text; special tokens written in it are recognized, none are added.
   *
   * @throws TokenizeError when the tokens do not spell the text exactly.
   */
  encode(text: string): Encoding {
    if (LONE_SURROGATE.test(text)) {
      throw new TokenizeError('the text holds half of a surrogate pair, which is no character; correct the row');
    }
    const encoding: Encoding = { ids: [], begins: [], ends: [] };
    for (const part of this.#asWritten.split(text)) {
      if (part.token) push(encoding, part.token.id, part.begin, part.end);
      else this.#encodeStretch(text, part, encoding);
    }
    return encoding;
  }

  /** Text of token ids, special tokens included; ids outside the vocabulary are left out. */
  decode(ids: readonly number[]): string {
    const known = ids.filter((id) => this.#library.id_to_token(id) !== undefined);
    if (known.length === 0) return '';
    return this.#library.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  /** The id of one token by its content. */
  tokenToId(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }

  /** Plain text between added tokens: normalized, searched for the added tokens that are looked for there, tokenized. */
  #encodeStretch(text: string, stretch: TextPart, encoding: Encoding): void {
    const aligned = this.#normalize(text.slice(stretch.begin, stretch.end));
    for (const part of this.#asNormalized.split(aligned.text)) {
      if (part.token) {
        const [begin, end] = originOf(aligned, part.begin, part.end);
        push(encoding, part.token.id, stretch.begin + begin, stretch.begin + end);
        continue;
      }
      const first = encoding.ids.length;
      const atBeginning = stretch.begin + originOf(aligned, part.begin, part.end)[0] === 0;
      this.#encodePlain(aligned.text.slice(part.begin, part.end), atBeginning, encoding);
      const { begins, ends } = encoding;
      for (let i = first; i < begins.length; i++) {
        const [begin, end] = aligned.origin
          ? originOf(aligned, part.begin + begins[i], part.begin + ends[i])
          : [part.begin + begins[i], part.begin + ends[i]];
        begins[i] = stretch.begin + begin;
        ends[i] = stretch.begin + end;
      }
    }
  }

  #normalize(written: string): AlignedText {
    const { normalizer } = this.#library;
    if (!normalizer) return { text: written };
    const normal = normalizer.normalize(written);
    const aligned = normalizeAligned(this.#pipeline.json.normalizer as NormalizerConfig, { text: written });
    if (aligned?.text === normal) return aligned;
    if (normal === written) return { text: written };
    throw new TokenizeError("the tokenizer's normalizer changes this text in a way that is not supported");
  }

  /** Adds the tokens of normalized text without added tokens, with their ranges in it. */
  #encodePlain(text: string, atBeginning: boolean, { ids, begins, ends }: Encoding): void {
    const { prefix, prefixScheme, replacesSpaces, style } = this.#pipeline;
    const spaced = replacesSpaces ? text.replaceAll(' ', '▁') : text;
    const prefixed =
      prefix !== '' && (prefixScheme === 'always' || atBeginning) && !spaced.startsWith(prefix) ? prefix : '';
    const input = prefixed + spaced;
    const first = ids.length;
    let at = 0;
    for (const piece of this.#cutter.cut(input)) {
      const known = this.#piece(piece);
      if (!known) throw unspelled();
      for (let i = 0; i < known.ids.length; i++) {
        const range = known.ranges[i];
        ids.push(known.ids[i]);
        begins.push(at + range[0]);
        ends.push(at + range[1]);
      }
      at += piece.length;
    }
    // Pieces follow each other: what a piece does not spell, or what is in none, shows in the length.
    if (at !== input.length) throw unspelled();
    if (prefixed) {
      // What is put in front belongs to the first character, as in Hugging Face tokenizers.
      const character = Math.min(spaced.length, spaced.codePointAt(0)! > 0xffff ? 2 : 1);
      for (let i = first; i < ids.length; i++) {
        begins[i] = Math.max(0, begins[i] - prefixed.length);
        ends[i] = ends[i] <= prefixed.length ? character : ends[i] - prefixed.length;
      }
    }

    function unspelled(): TokenizeError {
      return new TokenizeError(
        `the tokenizer cannot spell this text exactly (${style}); a character may be missing from its vocabulary`,
      );
    }
  }

  /** The tokens of one pre-token; a text has few different ones. Undefined where one cannot be spelled. */
  #piece(piece: string): PieceTokens | undefined {
    const known = this.#pieces.get(piece);
    if (known) return known;
    const ids: number[] = [];
    const bytes: Uint8Array[] = [];
    for (const token of this.#library.model!._call([
      this.#pipeline.style === 'byte-level' ? byteLevelText(piece) : piece,
    ])) {
      const id = this.#library.token_to_id(token);
      const spelled = this.#spell(token);
      if (id === undefined || !spelled) return undefined;
      ids.push(id);
      bytes.push(spelled);
    }
    const ranges = rangesAlong(piece, bytes);
    if (!ranges) return undefined;
    const tokens = { ids, ranges };
    if (piece.length > LONG_PIECE) return tokens;
    if (this.#pieces.size >= PIECES_KEPT) this.#pieces.clear();
    this.#pieces.set(piece.length < SLICED_LENGTH ? piece : copyOf(piece), tokens);
    return tokens;
  }

  #spell(token: string): Uint8Array | undefined {
    if (!this.#bytes.has(token)) this.#bytes.set(token, tokenBytes(token, this.#pipeline.style));
    return this.#bytes.get(token);
  }

  #namedId(name: string): number | undefined {
    const token = this.specialTokens[name];
    return token === undefined ? undefined : this.#library.token_to_id(token);
  }

  #detectBos({ add_bos_token, add_eos_token }: JsonObject): boolean {
    if (this.bosTokenId === undefined) return false;
    // transformers makes the post-processor anew where either is given.
    if (typeof add_bos_token === 'boolean') return add_bos_token;
    if (typeof add_eos_token === 'boolean') return false;
    try {
      const [first] = this.#library.encode('a', { add_special_tokens: true }).ids;
      const [bare] = this.#library.encode('a', { add_special_tokens: false }).ids;
      return first === this.bosTokenId && bare !== this.bosTokenId;
    } catch {
      return false;
    }
  }
}

function push(encoding: Encoding, id: number, begin: number, end: number): void {
  encoding.ids.push(id);
  encoding.begins.push(begin);
  encoding.ends.push(end);
}

/** The same text without the one that it is a part of. */
const copyOf = (text: string): string => new TextDecoder().decode(new TextEncoder().encode(text));

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
