import { expect, it } from 'vitest';
import { ModelIdError } from './errors.ts';
import { parseModelId } from './model_id.ts';

const HUB = 'https://huggingface.co';
const ID = 'Qwen/Qwen2.5-0.5B-Instruct';

it.each([
  [ID, ID, null],
  [`  ${ID}\n`, ID, null],
  [`${ID}@v1.0`, ID, 'v1.0'],
  ['gpt2', 'gpt2', null],
  [`${HUB}/${ID}`, ID, null],
  [`${HUB}/${ID}/`, ID, null],
  [`${HUB}/${ID}?library=transformers#use`, ID, null],
  [`${HUB}/${ID}/tree/main`, ID, 'main'],
  [`${HUB}/${ID}/tree/refs%2Fpr%2F3`, ID, 'refs/pr/3'],
  [`${HUB}/${ID}/blob/0123abc/config.json`, ID, '0123abc'],
  [`${HUB}/${ID}/resolve/main/model.safetensors`, ID, 'main'],
  [`${HUB}/${ID}/discussions/4`, ID, null],
  [`${HUB}/gpt2/tree/main`, 'gpt2', 'main'],
  [`huggingface.co/${ID}`, ID, null],
  [`hf.co/${ID}`, ID, null],
  [`${HUB}/models/${ID}`, ID, null],
])('reads %s', (text, id, revision) => {
  expect(parseModelId(text, HUB)).toEqual({ id, revision });
});

it('reads the addresses of the Hub in use', () => {
  expect(parseModelId(`http://127.0.0.1:8080/${ID}/tree/main`, 'http://127.0.0.1:8080')).toEqual({
    id: ID,
    revision: 'main',
  });
});

it.each([
  '',
  'a/b/c',
  '../secrets',
  'a/..',
  'org/na me',
  'org/name?x',
  `${ID}@../main`,
  `${ID}@a?b`,
  'https://example.com/org/name',
  `https://huggingface.co.evil.example/${ID}`,
  `http://127.0.0.1:8080/${ID}`,
  `javascript://huggingface.co/${ID}`,
  `${HUB}/datasets/org/name`,
  `${HUB}/spaces/org/name`,
  `${HUB}/%E0%A4%A/name`,
  `${HUB}/org%2F..%2Fx/name`,
  'x'.repeat(97),
])('refuses %s', (text) => {
  expect(() => parseModelId(text, HUB)).toThrow(ModelIdError);
});
