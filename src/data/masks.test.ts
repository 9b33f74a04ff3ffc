import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Example } from './batch.ts';
import { renderHere } from './chat_renderer.ts';
import { ChatTemplateError } from './chat_template.ts';
import { chatTemplateCases, smallTokenizer, tokenizerCases } from './fixtures/testing.ts';
import { NO_EOS, type Prepared, RowPreparer, STRADDLING } from './masks.ts';
import { type DataRow, parseRow } from './rows.ts';
import { Tokenizer } from './tokenizer.ts';
import { TokenizerError } from './tokenizer_pipeline.ts';

const CASES = new Map(chatTemplateCases().map((one) => [one.name, one]));
const EOS = { eos_token: '<|endoftext|>' };
const config = { max_length: 512, assistant_only_loss: false };
const row = (value: unknown): DataRow => parseRow(value, 1);

function example(prepared: Prepared): Example {
  if (prepared.kind === 'dropped') throw new Error(prepared.reason);
  return prepared.example;
}

/** The text of the tokens that are trained, a masked stretch as a bar. */
function trainedText(tokenizer: Tokenizer, { ids, labels }: Example): string {
  const parts: string[] = [];
  for (let at = 0; at < ids.length; ) {
    let end = at;
    while (end < ids.length && (labels[end] === -100) === (labels[at] === -100)) end++;
    parts.push(labels[at] === -100 ? '|' : tokenizer.decode(ids.slice(at, end)));
    at = end;
  }
  return parts.join('');
}

/** A byte-level tokenizer with the template's tokens, and a preparer for assistant-only loss. */
function chatOf(name: string, max_length = 512) {
  const one = CASES.get(name)!;
  const tokenizer = smallTokenizer(one.special_tokens, one.added_tokens, one.template);
  return { tokenizer, preparer: new RowPreparer(tokenizer, { max_length, assistant_only_loss: true }, renderHere) };
}
const chat = (...contents: string[]) =>
  row({ messages: contents.map((content, index) => ({ role: index % 2 ? 'assistant' : 'user', content })) });

describe('text rows', () => {
  const tokenizer = smallTokenizer(EOS);
  const preparer = new RowPreparer(tokenizer, config, renderHere);

  it('end with EOS, once, and are trained whole', async () => {
    const expected = [...tokenizer.encode('Once upon').ids, tokenizer.eosTokenId!];
    for (const text of ['Once upon', 'Once upon<|endoftext|>']) {
      const { ids, labels } = example(await preparer.prepare(row({ text })));
      expect(ids).toEqual(expected);
      expect(labels).toEqual(expected);
    }
  });

  it('begin with BOS where the tokenizer adds one, once', async () => {
    const llama = tokenizerCases().tokenizers.find((one) => one.name === 'llama3')!.tokenizer;
    const specialTokens = { bos_token: '<|begin_of_text|>', eos_token: '<|end_of_text|>' };
    const withBos = new Tokenizer({ tokenizer: llama, config: {}, specialTokens, chatTemplate: undefined });
    const prepare = async (value: object) =>
      example(await new RowPreparer(withBos, config, renderHere).prepare(row(value)));
    for (const text of ['Once', '<|begin_of_text|>Once']) {
      const { ids } = await prepare({ text });
      expect(ids.filter((id) => id === withBos.bosTokenId)).toHaveLength(1);
      expect(ids[0]).toBe(withBos.bosTokenId);
    }
    const { labels } = await prepare({ prompt: 'Once', completion: ' upon' });
    expect(labels[0]).toBe(-100);
    expect(example(await preparer.prepare(row({ text: 'Once' }))).ids[0]).not.toBe(withBos.bosTokenId);
  });

  it('keep their beginning at max_length', async () => {
    const short = new RowPreparer(tokenizer, { ...config, max_length: 3 }, renderHere);
    const prepared = await short.prepare(row({ text: 'Once upon a time there was a king' }));
    expect(example(prepared).ids).toEqual(tokenizer.encode('Once upon a time there was a king').ids.slice(0, 3));
    expect(prepared).toMatchObject({ truncatedTokens: expect.any(Number) });
    expect(await short.prepare(row({ text: 'a' }))).toMatchObject({ truncatedTokens: 0 });
  });

  it('without words are dropped', async () => {
    expect(await preparer.prepare(row({ text: '' }))).toMatchObject({ kind: 'dropped', code: 'nothing-to-train' });
    expect((await preparer.prepare(row({ text: '.' }))).kind).toBe('example');
  });

  it('that are no text are dropped', async () => {
    expect(await preparer.prepare(row({ text: 'a\udc00' }))).toMatchObject({
      kind: 'dropped',
      code: 'not-tokenizable',
    });
  });

  it('of a model without EOS say so', async () => {
    const bare = new RowPreparer(smallTokenizer({}), config, renderHere);
    expect(await bare.prepare(row({ text: 'a b' }))).toMatchObject({ kind: 'example', notes: [NO_EOS] });
    expect(await preparer.prepare(row({ text: 'a b' }))).toMatchObject({ notes: [] });
  });
});

describe('prompt and completion rows', () => {
  const tokenizer = smallTokenizer(EOS);
  const prepare = (prompt: string, completion: string, max_length = 512) =>
    new RowPreparer(tokenizer, { ...config, max_length }, renderHere).prepare(row({ prompt, completion }));

  it('mask the prompt', async () => {
    expect(trainedText(tokenizer, example(await prepare('Who?\n\n', 'The king.')))).toBe('|The king.<|endoftext|>');
    expect(trainedText(tokenizer, example(await prepare('', 'The king.')))).toBe('The king.<|endoftext|>');
    expect(trainedText(tokenizer, example(await prepare('Who?', '')))).toBe('|<|endoftext|>');
  });

  it('are refused when a token spans prompt and completion', async () => {
    expect(await prepare('This is ', 'the king')).toMatchObject({ kind: 'dropped', code: 'prompt-not-a-token-prefix' });
    expect((await prepare('This is', ' the king')).kind).toBe('example');
  });

  it('are dropped when the prompt fills max_length', async () => {
    expect(await prepare('Once upon a time', ' there', 2)).toMatchObject({
      kind: 'dropped',
      code: 'truncated-to-nothing',
    });
    expect((await prepare('Once upon a time', ' there')).kind).toBe('example');
  });
});

describe('conversations', () => {
  it.each([
    ['chatml', '|The king.<|im_end|>|Gone.<|im_end|>|'],
    ['llama3', '|The king.<|eot_id|>|Gone.<|eot_id|>'],
    ['gemma', '|The king.<end_of_turn>|Gone.<end_of_turn>|'],
    ['mistral', '| The king.</s>| Gone.</s>'],
    ['llama2', '| The king. </s>| Gone. </s>'],
    ['plain-eos', '|The king.<|endoftext|>|Gone.<|endoftext|>|'],
    ['default-system', '|The king.<|im_end|>|Gone.<|im_end|>|'],
    ['brackets', '|The king.⟦fin⟧|Gone.⟦fin⟧'],
    ['phi3', '|The king.<|end|>|Gone.<|end|>|'],
    ['plain-closer', '|The king.\nEND|Gone.\nEND|'],
  ])('%s: only answers and their ends are trained', async (name, expected) => {
    const { tokenizer, preparer } = chatOf(name);
    const prepared = await preparer.prepare(chat('Who?', 'The king.', 'Where?', 'Gone.'));
    expect(trainedText(tokenizer, example(prepared))).toBe(expected);
    expect(prepared).toMatchObject({ notes: [] });
  });

  it('are trained whole, without EOS appended, when not assistant-only', async () => {
    const { tokenizer } = chatOf('chatml');
    const prepared = await new RowPreparer(tokenizer, config, renderHere).prepare(chat('Who?', 'The king.'));
    expect(trainedText(tokenizer, example(prepared))).toBe(
      '<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nThe king.<|im_end|>\n',
    );
  });

  it('are flagged where a token begins before the answer', async () => {
    // The prompt ends with a space, which the tokenizer joins with the answer's first word.
    const { tokenizer, preparer } = chatOf('plain');
    const prepared = await preparer.prepare(chat('Who?', 'the king.'));
    expect(trainedText(tokenizer, example(prepared))).toBe('| king.\n\n');
    expect(prepared).toMatchObject({ notes: [STRADDLING] });
  });

  it('are dropped without an answer, or with one beyond max_length', async () => {
    const { preparer } = chatOf('chatml');
    expect(await preparer.prepare(chat('Who?'))).toMatchObject({ kind: 'dropped', code: 'nothing-to-train' });
    const short = chatOf('chatml', 5).preparer;
    expect(await short.prepare(chat('Who?', 'The king.'))).toMatchObject({
      kind: 'dropped',
      code: 'truncated-to-nothing',
    });
    expect((await preparer.prepare(chat('Who?', 'The king.'))).kind).toBe('example');
  });

  it('are refused by name when their spans cannot be made sure of, or by the template', async () => {
    const thought = chat('a', 'x <think>\nhm\n</think>\n\nb', 'c', 'd');
    expect(await chatOf('thinking').preparer.prepare(thought)).toMatchObject({
      kind: 'dropped',
      code: 'spans-not-verified',
    });
    expect((await chatOf('chatml').preparer.prepare(thought)).kind).toBe('example');
    const system = row({ messages: [{ role: 'system', content: 'x' }, ...chatMessages('a', 'b')] });
    expect(await chatOf('gemma').preparer.prepare(system)).toMatchObject({
      kind: 'dropped',
      code: 'template-refused',
      reason: expect.stringContaining('System role not supported'),
    });
    expect((await chatOf('chatml').preparer.prepare(system)).kind).toBe('example');
  });

  it('need a template', async () => {
    const preparer = new RowPreparer(smallTokenizer(EOS), config, renderHere);
    await expect(preparer.prepare(chat('a', 'b'))).rejects.toThrow(TokenizerError);
    expect((await preparer.prepare(row({ text: 'a b' }))).kind).toBe('example');
  });

  it('need one that can be read; other rows do not', async () => {
    const preparer = new RowPreparer(smallTokenizer(EOS, [], '{% for %}'), config, renderHere);
    await expect(preparer.prepare(chat('a', 'b'))).rejects.toThrow(ChatTemplateError);
    expect((await preparer.prepare(row({ text: 'a b' }))).kind).toBe('example');
  });

  it('never train a user’s words, and always the whole answer', async () => {
    const names = [
      'chatml',
      'llama3',
      'mistral',
      'plain-eos',
      'default-system',
      'thinking',
      'gemma',
      'no-prompt',
      'phi3',
    ];
    const chats = new Map(names.map((name) => [name, chatOf(name)]));
    const words = [
      'word',
      ' king',
      '\n',
      ' ',
      'é',
      '😀',
      '日',
      '<|im_end|>',
      '</s>',
      '<|eot_id|>',
      '<|stop|>',
      '[/INST]',
    ];
    const text = fc.array(fc.constantFrom(...words), { maxLength: 6 }).map((parts) => parts.join(''));
    let found = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 3 }),
        async (name, turns) => {
          const { tokenizer, preparer } = chats.get(name)!;
          // A mark that only the user writes, around each of their words.
          const contents = turns.flatMap(([asked, answered]) => [`µ${asked}µ`, answered]);
          const prepared = await preparer.prepare(chat(...contents));
          if (prepared.kind === 'dropped') return;
          found++;
          const answers = trainedText(tokenizer, prepared.example);
          expect(answers).not.toContain('µ');
          for (const [, answered] of turns) expect(answers).toContain(answered.trim());
        },
      ),
      { numRuns: 250 },
    );
    expect(found).toBeGreaterThan(60);
  });
});

function chatMessages(...contents: string[]) {
  return contents.map((content, index) => ({ role: index % 2 ? 'assistant' : 'user', content }));
}
