/** Python's string methods, where JavaScript's namesakes differ: templates are written for Python, and for its idea of whitespace. */

/** `str.isspace`: unlike JavaScript, the separators U+001C to U+001F and U+0085 are whitespace, U+FEFF is not. */
const SPACE = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const LEADING = new RegExp(`^${SPACE}+`, 'u');
const SPACE_ONLY = new RegExp(`^${SPACE}*$`, 'u');
const WORDS = new RegExp(`[^${SPACE.slice(1, -1)}]+`, 'gu');

export type Side = 'both' | 'left' | 'right';

/** `str.strip`, `lstrip` and `rstrip`: without whitespace, or without any of `characters`, at the ends. */
export function strip(text: string, side: Side = 'both', characters?: string): string {
  if (characters === undefined) {
    const left = side === 'right' ? text : text.replace(LEADING, '');
    return side === 'left' ? left : withoutTrailingSpace(left);
  }
  const set = new Set(characters);
  const all = [...text];
  let begin = 0;
  let end = all.length;
  if (side !== 'right') while (begin < end && set.has(all[begin]!)) begin++;
  if (side !== 'left') while (end > begin && set.has(all[end - 1]!)) end--;
  return all.slice(begin, end).join('');
}

/** A search from the end: an expression would look at every run of spaces in a long text. */
function withoutTrailingSpace(text: string): string {
  let end = text.length;
  while (end > 0 && SPACE_ONLY.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/** Whether the text is empty or whitespace. */
export function isBlank(text: string): boolean {
  return SPACE_ONLY.test(text);
}

/** `str.split`: at a separator, or at runs of whitespace; at most `most` times when that is not negative. */
export function split(text: string, separator?: string | null, most = -1): string[] {
  if (separator === '') throw new Error('empty separator');
  if (separator === undefined || separator === null) {
    const parts: string[] = [];
    for (const { 0: word, index } of text.matchAll(WORDS)) {
      if (most >= 0 && parts.length === most) return [...parts, strip(text.slice(index), 'left')];
      parts.push(word);
    }
    return parts;
  }
  const parts = text.split(separator);
  return most < 0 || parts.length <= most ? parts : [...parts.slice(0, most), parts.slice(most).join(separator)];
}

/** `str.capitalize`. */
export function capitalize(text: string): string {
  const first = String.fromCodePoint(text.codePointAt(0) ?? 0x20);
  return text === '' ? '' : first.toUpperCase() + text.slice(first.length).toLowerCase();
}

/** `str.title`. */
export function title(text: string): string {
  return text.replaceAll(/\p{L}+/gu, (word) => capitalize(word));
}
