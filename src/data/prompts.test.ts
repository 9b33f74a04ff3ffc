import { describe, expect, test } from 'vitest';
import { renderHere } from './chat_renderer.ts';
import { family } from './fixtures/families.ts';
import { Prompts } from './prompts.ts';
import { Tokenizer } from './tokenizer.ts';

const promptsOf = async (name: string) => {
  const tokenizer = await Tokenizer.load(family(name).folder);
  return { tokenizer, prompts: new Prompts(tokenizer, renderHere) };
};

describe('a chat stops at what ends a turn in its template', () => {
  test.each([
    ['smollm2', '<|im_end|>'],
    ['qwen3', '<|im_end|>'],
    ['llama3.2', '<|eot_id|>'],
    ['gemma3', '<end_of_turn>'],
    ['phi3.5', '<|end|>'],
    ['phi4-mini', '<|end|>'],
    ['tinyllama', '</s>'],
    ['mistral-nemo', '</s>'],
  ])('%s: %s', async (name, token) => {
    const { tokenizer, prompts } = await promptsOf(name);
    const { ids, texts } = await prompts.stops(true);
    expect([...ids].map((id) => tokenizer.decode([id]))).toContain(token);
    expect(texts).toEqual([]);
    // Plain text ends with the text's own end.
    const plain = await prompts.stops(false);
    if (tokenizer.eosTokenId !== undefined) expect([...plain.ids]).toContain(tokenizer.eosTokenId);
  });
});

test('a conversation is rendered up to where the answer begins; text gets what training gives it', async () => {
  const { prompts } = await promptsOf('smollm2');
  const { text } = await prompts.chat([{ role: 'user', content: 'Hi' }]);
  expect(text).toMatch(/<\|im_start\|>user\nHi<\|im_end\|>\n<\|im_start\|>assistant\n$/);
  const llama = await promptsOf('llama3.2');
  const plain = llama.prompts.plain('Hi');
  expect(plain.ids[0] === llama.tokenizer.bosTokenId).toBe(llama.tokenizer.addsBos);
  expect(plain.text).toBe('Hi');
});
