/**
 * tokenizer.json as @huggingface/tokenizers must see it to give the ids that Hugging Face's own (Rust) tokenizers give. Some of
 * the library's pre-tokenizers differ from theirs; those are rewritten in terms of `Split`, which does not, and what
 * cannot be rewritten is refused by name: a model trained on other ids than its own is worse than none.
 */
import type { TokenStyle } from './token_offsets.ts';

/** The tokenizer's files cannot be used; the message says which part and what to do. */
export class TokenizerError extends Error {
  override name = 'TokenizerError';
}

export type JsonObject = Record<string, unknown>;

/** What the rest of the tokenizer needs to know of its pipeline. */
export interface Pipeline {
  /** tokenizer.json with its pre-tokenizers rewritten. They only cut: what else they do to a text is left to the caller. */
  readonly json: JsonObject;
  /** The last thing that happens to a piece before the model sees it. */
  readonly style: TokenStyle;
  /** Put before a stretch of text that does not begin with it: a space (byte-level), ▁ (Metaspace) or nothing. */
  readonly prefix: '' | ' ' | '▁';
  /** Put it before every stretch between added tokens, or only at the text's very beginning. */
  readonly prefixScheme: 'always' | 'first';
  /** Write ▁ for each space, before the prefix. */
  readonly replacesSpaces: boolean;
}

const META = '▁';
/** GPT-2's expression, which the library gives to JavaScript with its `\s`; as a `Split` it has Unicode's White_Space. */
const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws TokenizerError for a model or a part that is not given the same ids here as by Hugging Face tokenizers. */
export function readPipeline(json: JsonObject): Pipeline {
  const { model } = json;
  if (!isJsonObject(model)) throw new TokenizerError('tokenizer.json has no model. Is the download complete?');
  const type = model.type ?? (Array.isArray(model.vocab) ? 'Unigram' : model.merges ? 'BPE' : 'unknown');
  if (type !== 'BPE' && type !== 'Unigram') throw unsupported(`is of type ${String(type)}`);
  for (const part of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (model[part]) throw unsupported(`uses ${part}`);
  }
  if (model.dropout) throw unsupported('leaves merges out at random (dropout)');
  const normalizer = json.normalizer ?? null;
  refuseNormalizer(normalizer);
  const rewriter = new Rewriter(replacesEverySpace(normalizer));
  const stages = rewriter.rewrite(json.pre_tokenizer ?? null, true);
  return {
    json: {
      ...json,
      model: { ...model, type },
      added_tokens: Array.isArray(json.added_tokens) ? json.added_tokens : [],
      normalizer,
      pre_tokenizer: stages.length === 0 ? null : { type: 'Sequence', pretokenizers: stages },
      post_processor: json.post_processor ?? null,
      decoder: json.decoder ?? null,
    },
    style: rewriter.style,
    prefix: rewriter.prefix,
    prefixScheme: rewriter.prefixScheme,
    replacesSpaces: rewriter.replacesSpaces,
  };
}

function unsupported(what: string): TokenizerError {
  return new TokenizerError(`This model's tokenizer ${what}, which is not supported. Choose another model.`);
}

const NORMALIZERS: ReadonlySet<unknown> = new Set(['NFC', 'NFD', 'NFKC', 'NFKD', 'Prepend']);

/** Others change texts in ways that the library does not share with Rust, or that offsets are not followed through. */
function refuseNormalizer(normalizer: unknown): void {
  if (normalizer === null) return;
  if (!isJsonObject(normalizer)) throw new TokenizerError('tokenizer.json has a malformed normalizer.');
  if (normalizer.type === 'Sequence') {
    for (const stage of Array.isArray(normalizer.normalizers) ? normalizer.normalizers : []) refuseNormalizer(stage);
  } else if (normalizer.type === 'Replace') {
    if (!isJsonObject(normalizer.pattern) || typeof normalizer.pattern.String !== 'string') {
      throw unsupported('replaces text by an expression');
    }
  } else if (!NORMALIZERS.has(normalizer.type)) {
    throw unsupported(`uses the normalizer ${String(normalizer.type)}`);
  }
}

/** What Rust's expressions (Oniguruma's) have and JavaScript's have not; the library reads some of it as something else. */
const FOREIGN: readonly (readonly [RegExp, string])[] = [
  [/\\([KRXG]|[gk]<)/u, 'an escape'],
  [/\(\?[>~(]/u, 'a group'],
  [/\(\?[a-z-]+\)/u, 'a flag'],
  [/[*+?]\+/u, 'a possessive quantifier'],
];

/** @throws TokenizerError for an expression that JavaScript would match differently. */
function refuseExpression(pattern: unknown): void {
  const source = isJsonObject(pattern) && typeof pattern.Regex === 'string' ? pattern.Regex : '';
  // Without escaped characters and sets, whose contents are no syntax.
  const syntax = source.replaceAll(/\\(?:[pPx]\{[^}]*\}|[^gkKRXG])/gu, 'x').replaceAll(/\[[^\]]*\]/gu, 'x');
  const found = FOREIGN.find(([expression]) => expression.test(syntax));
  if (!found) return;
  throw unsupported(`splits text by an expression with ${found[1]} that JavaScript lacks (${source.slice(0, 80)})`);
}

/** Whether the normalizer leaves no space in the text. */
function replacesEverySpace(normalizer: unknown): boolean {
  if (!isJsonObject(normalizer)) return false;
  if (Array.isArray(normalizer.normalizers)) return normalizer.normalizers.some(replacesEverySpace);
  return normalizer.type === 'Replace' && isJsonObject(normalizer.pattern) && normalizer.pattern.String === ' ';
}

function isolate(pattern: string): JsonObject {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
}

class Rewriter {
  style: TokenStyle = 'metaspace';
  prefix: '' | ' ' | '▁' = '';
  prefixScheme: 'always' | 'first' = 'always';
  replacesSpaces = false;
  readonly #noSpaces: boolean;

  constructor(noSpaces: boolean) {
    this.#noSpaces = noSpaces;
  }

  /** The stages that stand for one pre-tokenizer; `first` when nothing has split the text before it. */
  rewrite(config: unknown, first: boolean): JsonObject[] {
    if (config === null) return [];
    if (!isJsonObject(config)) throw new TokenizerError('tokenizer.json has a malformed pre_tokenizer.');
    if (this.style === 'byte-level') throw unsupported('cuts text after writing it as bytes');
    switch (config.type) {
      case 'Sequence': {
        const stages = Array.isArray(config.pretokenizers) ? config.pretokenizers : [];
        return stages.flatMap((stage, index) => this.rewrite(stage, first && index === 0));
      }
      case 'ByteLevel': {
        this.style = 'byte-level';
        // As in Rust, absent means true.
        if (config.add_prefix_space ?? true) this.#setPrefix(' ', 'always', first);
        return (config.use_regex ?? true) ? [isolate(GPT2_PATTERN)] : [];
      }
      case 'Metaspace': {
        if ((config.replacement ?? META) !== META)
          throw unsupported(`writes ${String(config.replacement)} for a space`);
        const scheme = config.prepend_scheme ?? (config.add_prefix_space === false ? 'never' : 'always');
        if (scheme !== 'never') this.#setPrefix(META, scheme === 'first' ? 'first' : 'always', first);
        else if (!first) throw unsupported('replaces spaces after splitting');
        this.replacesSpaces = true;
        return (config.split ?? true) ? [isolate(`${META}[^${META}]*`)] : [];
      }
      case 'Digits':
        // Rust's `char::is_numeric`; the library takes ASCII digits only.
        return [isolate(config.individual_digits ? '\\p{N}' : '\\p{N}+')];
      case 'Split': {
        refuseExpression(config.pattern);
        const behavior = String(config.behavior ?? '').toLowerCase();
        // Gemma splits at spaces when none is left: nothing is ever split.
        if (this.#noSpaces && isJsonObject(config.pattern) && config.pattern.String === ' ') return [];
        if (behavior === 'isolated' && !config.invert) return [config];
        if (behavior === 'removed' && config.invert) return [config];
        throw unsupported(`splits text with behavior ${String(config.behavior)}`);
      }
      default:
        throw unsupported(`uses the pre-tokenizer ${String(config.type)}`);
    }
  }

  #setPrefix(prefix: ' ' | '▁', scheme: 'always' | 'first', first: boolean): void {
    if (!first) throw unsupported('puts a space before each piece of a word');
    this.prefix = prefix;
    this.prefixScheme = scheme;
  }
}
