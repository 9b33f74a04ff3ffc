import { describe, expect, it } from 'vitest';
import { renderHere } from './chat_renderer.ts';
import { compileChatTemplate } from './chat_template.ts';
import { CONVERSATIONS, FAMILIES_DATE, family, hashOf, runsOf } from './fixtures/families.ts';
import { RowPreparer } from './masks.ts';
import { Tokenizer } from './tokenizer.ts';

/**
 * How many of the 200 conversations the template itself refuses, have nothing to train, are refused because a generation prompt is not how
 * they go on, because an answer holds the end of a turn, and because the template has no place for reasoning_content. All others must have transformers' ids and masks.
 */
const FAMILIES: Readonly<
  Record<string, { error: number; empty: number; prompt: number; ends: number; thinking: number }>
> = {
  llama2: { error: 26, empty: 3, prompt: 0, ends: 3, thinking: 7 },
  tinyllama: { error: 0, empty: 3, prompt: 0, ends: 3, thinking: 7 },
  'llama3.1': { error: 0, empty: 3, prompt: 0, ends: 1, thinking: 7 },
  'llama3.2': { error: 0, empty: 3, prompt: 0, ends: 1, thinking: 7 },
  smollm2: { error: 0, empty: 3, prompt: 5, ends: 3, thinking: 7 },
  smollm3: { error: 0, empty: 3, prompt: 0, ends: 3, thinking: 7 },
  'mistral-v0.2': { error: 26, empty: 3, prompt: 0, ends: 3, thinking: 7 },
  'mistral-v0.2-old': { error: 88, empty: 1, prompt: 0, ends: 2, thinking: 5 },
  'mistral-v3': { error: 26, empty: 3, prompt: 60, ends: 2, thinking: 5 },
  'mistral-nemo': { error: 26, empty: 3, prompt: 60, ends: 2, thinking: 5 },
  qwen2: { error: 0, empty: 3, prompt: 5, ends: 3, thinking: 7 },
  'qwen2.5': { error: 0, empty: 3, prompt: 0, ends: 3, thinking: 7 },
  qwen3: { error: 0, empty: 3, prompt: 3, ends: 3, thinking: 0 },
  'qwen3-2507': { error: 0, empty: 3, prompt: 0, ends: 3, thinking: 7 },
  gemma2: { error: 88, empty: 1, prompt: 0, ends: 0, thinking: 5 },
  gemma3: { error: 26, empty: 3, prompt: 0, ends: 0, thinking: 7 },
  'phi3.5': { error: 0, empty: 3, prompt: 0, ends: 4, thinking: 7 },
  'phi4-mini': { error: 0, empty: 3, prompt: 0, ends: 4, thinking: 7 },
};

describe.each(Object.entries(FAMILIES))('%s: 200 conversations as transformers has them', (name, counts) => {
  const { template, folder, expected } = family(name);
  const opened = (async () => {
    const tokenizer = await Tokenizer.load(folder);
    return { tokenizer, render: compileChatTemplate(template, tokenizer.specialTokens, { now: FAMILIES_DATE }) };
  })();

  it('token ids', async () => {
    const { tokenizer, render } = await opened;
    let errors = 0;
    for (const [index, messages] of CONVERSATIONS.entries()) {
      const one = expected[index]!;
      if ('error' in one) {
        errors++;
        expect(() => render(messages, false)).toThrow('chat template refuses');
        continue;
      }
      const { ids } = tokenizer.encode(render(messages, false));
      if (one.ids) expect([index, ids]).toEqual([index, one.ids]);
      expect([index, ids.length, hashOf(ids)]).toEqual([index, one.n, one.h]);
    }
    expect(errors).toBe(counts.error);
  });

  it('assistant masks, or the reason why there are none', async () => {
    const { tokenizer } = await opened;
    const preparer = new RowPreparer(tokenizer, { max_length: 1e9, assistant_only_loss: true }, (setup) =>
      renderHere({ ...setup, now: FAMILIES_DATE.getTime() }),
    );
    const found = { error: 0, empty: 0, prompt: 0, ends: 0, thinking: 0 };
    for (const [index, messages] of CONVERSATIONS.entries()) {
      const one = expected[index]!;
      const prepared = await preparer.prepare({ kind: 'messages', line: 1, messages });
      const answers = messages.filter((message) => message.role === 'assistant');
      if (prepared.kind === 'example') {
        // What the reference cannot tell is never trained: a prompt that is no prefix, or a template's refusal.
        expect([index, one]).toMatchObject([index, { n: prepared.example.ids.length }]);
        if ('error' in one) continue;
        expect([index, runsOf(prepared.example.labels)]).toEqual([index, one.m]);
        expect([index, one.p]).not.toEqual([index, 0]);
      } else if ('error' in one) {
        expect([index, prepared.code]).toEqual([index, answers.length === 0 ? 'nothing-to-train' : 'template-refused']);
        found.error++;
      } else if (answers.length === 0) {
        expect([index, prepared.code]).toEqual([index, 'nothing-to-train']);
        found.empty++;
      } else if (one.p === 0) {
        expect([index, prepared]).toMatchObject([index, { code: 'spans-not-verified' }]);
        found.prompt++;
      } else if (prepared.reason.includes('no place for the reasoning_content')) {
        expect([index, answers.some(({ reasoning_content }) => reasoning_content)]).toEqual([index, true]);
        expect(template).not.toContain('reasoning_content');
        found.thinking++;
      } else {
        const [, token] = /contains "(.*)", which ends a turn/.exec(prepared.reason) ?? [];
        expect([index, prepared.reason, answers.some(({ content }) => token && content.includes(token))]).toEqual([
          index,
          prepared.reason,
          true,
        ]);
        found.ends++;
      }
    }
    expect(found).toEqual(counts);
  });
});
