import { expect, it } from 'vitest';
import { parseModelId } from './model_id.ts';

it.each([
  ['Qwen/Qwen2.5-0.5B-Instruct', 'Qwen/Qwen2.5-0.5B-Instruct', 'main'],
  [' org/name@v1.0 ', 'org/name', 'v1.0'],
  ['https://huggingface.co/org/name', 'org/name', 'main'],
  ['hf.co/org/name/tree/refs%2Fpr%2F1', 'org/name', 'refs/pr/1'],
  ['https://huggingface.co/org/name/blob/abc123/config.json?x=1', 'org/name', 'abc123'],
])('takes %s as a model', (text, id, revision) => {
  expect(parseModelId(text)).toEqual({ id, revision });
});

it.each(['smollm instruct', 'gpt2', '', 'https://example.org/org/name', 'https://huggingface.co/datasets/squad'])(
  'searches for %j',
  (text) => {
    expect(parseModelId(text)).toBeNull();
  },
);
