/**
 * Text under normalization that still knows where it came from. A tokenizer's normalizer may compose accents, replace
 * spaces or put a character in front; token offsets must nevertheless point into the text as it was written.
 */

/** A normalized text. All ranges are half-open, in UTF-16 code units. */
export interface AlignedText {
  readonly text: string;
  /** For each code unit of `text` where its origin begins and ends; absent when it is the text itself, unchanged. */
  readonly origin?: { readonly starts: Uint32Array; readonly ends: Uint32Array };
}

/** A normalizer of tokenizer.json, as far as it is read here. */
export interface NormalizerConfig {
  readonly type: string;
  readonly normalizers?: readonly NormalizerConfig[];
  readonly prepend?: string;
  readonly pattern?: { readonly String?: string };
  readonly content?: string;
}

/**
 * Applies a normalizer and keeps track of origins, or returns undefined for one whose origins are not followed here (the
 * caller may still go on when that normalizer leaves the text as it is).
 */
export function normalizeAligned(config: NormalizerConfig, input: AlignedText): AlignedText | undefined {
  switch (config.type) {
    case 'Sequence': {
      let text: AlignedText | undefined = input;
      for (const stage of config.normalizers ?? []) {
        text = text && normalizeAligned(stage, text);
      }
      return text;
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return unicodeForm(config.type, input);
    case 'Prepend':
      return prepend(config.prepend ?? '', input);
    case 'Replace':
      return config.pattern?.String === undefined
        ? undefined
        : replaceAll(config.pattern.String, config.content ?? '', input);
    default:
      return undefined;
  }
}

/** The origin of code units [begin, end) of a normalized text, as a range. An empty range is where it would begin. */
export function originOf(aligned: AlignedText, begin: number, end: number): readonly [number, number] {
  const { origin } = aligned;
  if (!origin) return [begin, end];
  const last = origin.ends.length - 1;
  if (begin > last) return [origin.ends[last] ?? 0, origin.ends[last] ?? 0];
  return [origin.starts[begin]!, end > begin ? origin.ends[end - 1]! : origin.starts[begin]!];
}

/**
 * Runs that Unicode normalization treats on their own: a Hangul syllable in any spelling, or any other character, with the
 * marks after it. The result is checked against the normalization of the whole.
 */
const SEGMENTS =
  /(?:[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?|[\uac00-\ud7a3][\u11a8-\u11c2]?|\P{M})\p{M}*|\p{M}+/gu;

function unicodeForm(form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD', input: AlignedText): AlignedText | undefined {
  const whole = input.text.normalize(form);
  if (whole === input.text) return input;
  const builder = new Builder(input);
  for (const match of input.text.matchAll(SEGMENTS)) {
    const segment = match[0];
    const normal = segment.normalize(form);
    if (normal === segment) builder.copy(match.index, match.index + segment.length);
    else builder.replace(match.index, match.index + segment.length, normal);
  }
  return builder.text === whole ? builder.finish() : undefined;
}

/** What is put in front belongs to the first character, as in Hugging Face tokenizers. */
function prepend(prefix: string, input: AlignedText): AlignedText {
  const first = input.text.codePointAt(0);
  if (first === undefined) return input;
  const builder = new Builder(input);
  builder.replace(0, first > 0xffff ? 2 : 1, prefix);
  builder.copy(0, input.text.length);
  return builder.finish();
}

function replaceAll(pattern: string, content: string, input: AlignedText): AlignedText {
  if (pattern === '' || !input.text.includes(pattern)) return input;
  if (pattern.length === 1 && content.length === 1) {
    return { ...input, text: input.text.replaceAll(pattern, () => content) };
  }
  const builder = new Builder(input);
  let from = 0;
  for (let at = input.text.indexOf(pattern); at !== -1; at = input.text.indexOf(pattern, from)) {
    builder.copy(from, at);
    builder.replace(at, at + pattern.length, content);
    from = at + pattern.length;
  }
  builder.copy(from, input.text.length);
  return builder.finish();
}

class Builder {
  text = '';
  readonly #input: AlignedText;
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  constructor(input: AlignedText) {
    this.#input = input;
  }

  /** Code units [begin, end) of the input, as they are. */
  copy(begin: number, end: number): void {
    this.text += this.#input.text.slice(begin, end);
    for (let i = begin; i < end; i++) this.#push(i, i + 1);
  }

  /** `content` in the place of code units [begin, end) of the input: each of its units comes from all of them. */
  replace(begin: number, end: number, content: string): void {
    this.text += content;
    for (let i = 0; i < content.length; i++) this.#push(begin, end);
  }

  finish(): AlignedText {
    return { text: this.text, origin: { starts: Uint32Array.from(this.#starts), ends: Uint32Array.from(this.#ends) } };
  }

  #push(begin: number, end: number): void {
    const [start, stop] = originOf(this.#input, begin, end);
    this.#starts.push(start);
    this.#ends.push(stop);
  }
}
