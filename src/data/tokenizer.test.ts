import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  diskFolder,
  goldenCase,
  memoryFolder,
  smallTokenizer,
  type TokenizerCase,
  tokenizerCases,
} from './fixtures/testing.ts';
import { type Encoding, TokenizeError, Tokenizer } from './tokenizer.ts';
import { TokenizerError } from './tokenizer_pipeline.ts';

const { texts, tokenizers } = tokenizerCases();
const open = (one: TokenizerCase, specialTokens = {}) =>
  new Tokenizer({ tokenizer: one.tokenizer, config: {}, specialTokens, chatTemplate: undefined });
const named = (name: string) => tokenizers.find((one) => one.name === name)!;
/** Unicode's whitespace, which is not that of `trim`. */
const isSpace = (text: string) => /^\p{White_Space}*$/u.test(text);
const pairs = (flat: readonly number[]) =>
  Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!] as [number, number]);

const offsetsOf = ({ begins, ends }: Encoding) => begins.map((begin, i) => [begin, ends[i]] as const);

describe('Tokenizer', () => {
  describe.each(tokenizers)('$name', (one) => {
    const tokenizer = open(one);

    it('gives the ids that Python gives', () => {
      for (const [index, [ids]] of one.cases.entries()) {
        expect([texts[index], tokenizer.encode(texts[index]!).ids]).toEqual([texts[index], ids]);
      }
    });

    it('gives the offsets that Python gives', () => {
      for (const [index, [, flat]] of one.cases.entries()) {
        const text = texts[index]!;
        const python = pairs(flat);
        const offsets = offsetsOf(tokenizer.encode(text));
        for (const [k, [begin, end]] of offsets.entries()) {
          const [from, to] = python[k]!;
          if (begin === from && end === to) continue;
          // Two intended differences. Python's token that takes whitespace along covers it; ours has its own characters, so that
          // an end-of-turn token is trained. Python's composed character covers its first code point; ours all that it is made of.
          const composed = text.slice(begin, end).normalize('NFC') !== text.slice(begin, end);
          const around = text.slice(from, begin) + text.slice(end, to);
          expect([text, k, composed || (around !== '' && isSpace(around))]).toEqual([text, k, true]);
        }
      }
    });

    it('covers any text without gaps that are not whitespace', () => {
      fc.assert(
        fc.property(
          fc.array(fc.oneof(fc.constantFrom(...texts), fc.string({ unit: 'binary' })), { maxLength: 4 }),
          (parts) => {
            const text = parts.join('');
            let at = 0;
            for (const [begin, end] of offsetsOf(tokenizer.encode(text))) {
              expect(isSpace(text.slice(at, begin))).toBe(true);
              expect(end).toBeGreaterThanOrEqual(at);
              at = end;
            }
            expect(isSpace(text.slice(at))).toBe(true);
          },
        ),
        { numRuns: 30 },
      );
    });
  });

  it('adds a BOS where the post-processor does', () => {
    const withBos = open(named('llama3'), { bos_token: '<|begin_of_text|>', eos_token: '<|eot_id|>' });
    expect([withBos.addsBos, named('llama3').add_bos]).toEqual([true, true]);
    expect(withBos.encode('a').ids).not.toContain(withBos.bosTokenId);
    expect(open(named('gpt2'), { bos_token: '<|endoftext|>' }).addsBos).toBe(false);
  });

  it('decodes what it encoded', () => {
    const tokenizer = open(named('smollm2'));
    for (const text of ['', 'a\r\nb <|im_end|> é 日本 😀', '  x  ']) {
      expect(tokenizer.decode(tokenizer.encode(text).ids)).toBe(text);
    }
    expect(tokenizer.decode([...tokenizer.encode('hello').ids, 10_000_000])).toBe('hello');
  });

  it('refuses text that is not text, and text it cannot spell', () => {
    const tokenizer = smallTokenizer({ eos_token: '<|endoftext|>' });
    expect(() => tokenizer.encode('a\ud800b')).toThrow(TokenizeError);
    expect(() => tokenizer.encode('a😀b')).not.toThrow();
    const { json, vocab } = withoutMerges();
    delete vocab.Ń;
    const lacking = new Tokenizer({ tokenizer: json, config: {}, specialTokens: {}, chatTemplate: undefined });
    expect(() => lacking.encode('soft\u00adhyphen')).toThrow(TokenizeError);
    expect(lacking.encode('hyphen').ids.length).toBe(6);
  });

  it('takes special tokens and their flags from tokenizer_config.json too', () => {
    const { json } = withoutMerges();
    const tokenizer = new Tokenizer({
      tokenizer: json,
      config: { added_tokens_decoder: { 900: { content: '<|extra|>', special: true, rstrip: true } } },
      specialTokens: { eos_token: 'b' },
      chatTemplate: undefined,
    });
    expect(offsetsOf(tokenizer.encode('a<|extra|>  c'))).toEqual([
      [0, 1],
      [1, 10],
      [12, 13],
    ]);
    expect(tokenizer.encode('<|extra|>').ids).toEqual([900]);
    expect(tokenizer.eosTokenId).toBe(tokenizer.encode('b').ids[0]);
    expect(tokenizer.padTokenId).toBe(tokenizer.eosTokenId);
    expect(tokenizer.addedTokens).toContain('b');
  });
});

/** GPT-2's small tokenizer as one character a token. */
function withoutMerges() {
  const json = structuredClone(named('gpt2').tokenizer);
  const model = json.model as { merges: unknown[]; vocab: Record<string, number> };
  model.merges = [];
  return { json, vocab: model.vocab };
}

describe('Tokenizer.load', () => {
  const { json } = withoutMerges();
  const base = { 'tokenizer.json': JSON.stringify(json) };
  const load = (files: Record<string, string>) => Tokenizer.load(memoryFolder(files));

  it('reads the special tokens from either file, as strings or objects', async () => {
    const config = { eos_token: { content: '<|endoftext|>', lstrip: false }, pad_token: null };
    const map = { eos_token: 'x', bos_token: '<|endoftext|>', pad_token: { content: '<|endoftext|>' } };
    const tokenizer = await load({
      ...base,
      'tokenizer_config.json': JSON.stringify(config),
      'special_tokens_map.json': JSON.stringify(map),
    });
    expect(tokenizer.eosToken).toBe('<|endoftext|>');
    expect(tokenizer.specialTokens).toEqual({
      eos_token: '<|endoftext|>',
      bos_token: '<|endoftext|>',
      pad_token: '<|endoftext|>',
    });
    expect((await load(base)).eosTokenId).toBeUndefined();
  });

  it('knows where generation stops, if the model says', async () => {
    const stops = async (files: Record<string, unknown>) => {
      const texts = Object.fromEntries(Object.entries(files).map(([path, value]) => [path, JSON.stringify(value)]));
      return (await load({ ...base, ...texts })).stopTokens;
    };
    expect(await stops({})).toEqual([]);
    expect(await stops({ 'generation_config.json': { eos_token_id: [0, 1, 99999] } })).toEqual(['<|endoftext|>', '!']);
    expect(await stops({ 'config.json': { eos_token_id: 0 } })).toEqual(['<|endoftext|>']);
    expect(await stops({ 'config.json': { eos_token_id: 0 }, 'generation_config.json': { eos_token_id: 1 } })).toEqual([
      '!',
    ]);
  });

  it('finds the chat template in each of its places', async () => {
    const config = (chat_template: unknown) => JSON.stringify({ chat_template });
    const template = async (files: Record<string, string>) => (await load({ ...base, ...files })).chatTemplate;
    expect(await template({})).toBeUndefined();
    expect(await template({ 'tokenizer_config.json': config(null) })).toBeUndefined();
    expect(await template({ 'tokenizer_config.json': config('A') })).toBe('A');
    const list = [
      { name: 'tool_use', template: 'T' },
      { name: 'default', template: 'D' },
    ];
    expect(await template({ 'tokenizer_config.json': config(list) })).toBe('D');
    expect(await template({ 'chat_template.json': config('J') })).toBe('J');
    expect(await template({ 'tokenizer_config.json': config('A'), 'chat_template.jinja': 'F' })).toBe('F');
  });

  it('names what is wrong with the files', async () => {
    await expect(load({})).rejects.toThrow('has no tokenizer.json');
    await expect(load({ 'tokenizer.json': '{' })).rejects.toThrow(TokenizerError);
    await expect(load({ 'tokenizer.json': '[]' })).rejects.toThrow('not a JSON object');
    await expect(load({ 'tokenizer.json': '{}' })).rejects.toThrow('no model');
    await expect(load(base)).resolves.toBeInstanceOf(Tokenizer);
  });

  it('refuses a tokenizer whose ids it could not match', async () => {
    const change = (part: object) => load({ 'tokenizer.json': JSON.stringify({ ...json, ...part }) });
    const split = (behavior: string) => ({ type: 'Split', pattern: { String: 'x' }, behavior, invert: false });
    await expect(change({ model: { type: 'WordPiece', vocab: {} } })).rejects.toThrow('WordPiece');
    await expect(change({ pre_tokenizer: { type: 'BertPreTokenizer' } })).rejects.toThrow('BertPreTokenizer');
    await expect(change({ pre_tokenizer: split('MergedWithNext') })).rejects.toThrow('MergedWithNext');
    await expect(change({ pre_tokenizer: split('Isolated') })).resolves.toBeInstanceOf(Tokenizer);
    const normalizer = (one: object) => ({ normalizer: { type: 'Sequence', normalizers: [one] } });
    await expect(change(normalizer({ type: 'Precompiled' }))).rejects.toThrow('the normalizer Precompiled');
    await expect(change(normalizer({ type: 'Lowercase' }))).rejects.toThrow('the normalizer Lowercase');
    await expect(change(normalizer({ type: 'Replace', pattern: { Regex: ' +' }, content: ' ' }))).rejects.toThrow(
      'replaces text by an expression',
    );
    await expect(change(normalizer({ type: 'NFKC' }))).resolves.toBeInstanceOf(Tokenizer);
    const { model } = json as { model: object };
    await expect(change({ model: { ...model, dropout: 0.1 } })).rejects.toThrow('at random');
    await expect(change({ model: { ...model, dropout: null } })).resolves.toBeInstanceOf(Tokenizer);
    const config = (value: object) => load({ ...base, 'tokenizer_config.json': JSON.stringify(value) });
    await expect(config({ split_special_tokens: true })).rejects.toThrow('split_special_tokens');
    await expect(config({ split_special_tokens: false })).resolves.toBeInstanceOf(Tokenizer);
  });

  it.each([
    ['(?>a|ab)c', 'a group'],
    ['a(?(b)c|d)', 'a group'],
    ['(?i)a', 'a flag'],
    ['\\p{L}++x', 'a possessive quantifier'],
    ['[ab]?+c', 'a possessive quantifier'],
    ['a\\Kb', 'an escape'],
    ['(?<x>a)\\k<x>', 'an escape'],
  ])('refuses to split by %s', async (Regex, what) => {
    const pre_tokenizer = { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false };
    await expect(load({ 'tokenizer.json': JSON.stringify({ ...json, pre_tokenizer }) })).rejects.toThrow(what);
  });

  it('splits by the expressions that models have', async () => {
    const Regex = "(?i:'s|'t)|[^\\r\\n+?]?\\p{L}+|\\+\\+|\\p{N}{1,3}|\\s+(?!\\S)|(?=x)(?<!y)[*+]+|\\\\K";
    const pre_tokenizer = { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false };
    const tokenizer = await load({ 'tokenizer.json': JSON.stringify({ ...json, pre_tokenizer }) });
    expect(tokenizer).toBeInstanceOf(Tokenizer);
  });

  it('puts BOS in front as the configuration says, else as the post-processor does', async () => {
    const single = [{ SpecialToken: { id: '<|endoftext|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
    const post_processor = {
      type: 'TemplateProcessing',
      single,
      pair: single,
      special_tokens: { '<|endoftext|>': { id: '<|endoftext|>', ids: [0], tokens: ['<|endoftext|>'] } },
    };
    const adds = async (post: object | null, config: object) => {
      const files = { 'tokenizer.json': JSON.stringify({ ...json, post_processor: post }) };
      const full = { bos_token: '<|endoftext|>', ...config };
      return (await load({ ...files, 'tokenizer_config.json': JSON.stringify(full) })).addsBos;
    };
    expect(await adds(post_processor, {})).toBe(true);
    expect(await adds(post_processor, { add_bos_token: null })).toBe(true);
    expect(await adds(post_processor, { add_bos_token: false })).toBe(false);
    expect(await adds(post_processor, { add_eos_token: false })).toBe(false);
    expect(await adds(null, {})).toBe(false);
    expect(await adds(null, { add_bos_token: true })).toBe(true);
    expect(await adds(null, { add_bos_token: true, bos_token: null })).toBe(false);
  });

  it('knows special tokens that have no name, where the vocabulary has them', async () => {
    const encode = async (config: object) => {
      const tokenizer = await load({ ...base, 'tokenizer_config.json': JSON.stringify(config) });
      return [tokenizer.addedTokens.includes('b'), tokenizer.encode('b').ids.length];
    };
    expect(await encode({})).toEqual([false, 1]);
    expect(await encode({ additional_special_tokens: ['b', 'nowhere'] })).toEqual([true, 1]);
    expect(await encode({ extra_special_tokens: { image_token: 'b' } })).toEqual([true, 1]);
  });

  it.skipIf(!goldenCase('qwen2-chat'))('opens a golden model', async () => {
    const tokenizer = await Tokenizer.load(diskFolder(`${goldenCase('qwen2-chat')}/model`));
    expect([tokenizer.eosToken, tokenizer.eosTokenId, tokenizer.padTokenId]).toEqual(['<|im_end|>', 2, 0]);
    expect(tokenizer.chatTemplate).toContain('<|im_start|>');
    expect(tokenizer.addsBos).toBe(false);
  });
});
