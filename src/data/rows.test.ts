import { describe, expect, it } from 'vitest';
import { parseRow, RowError, type RowKind } from './rows.ts';

const messages = [
  { role: 'user', content: 'a' },
  { role: 'assistant', content: 'b' },
];

function refusal(value: unknown, expected?: RowKind): RowError {
  try {
    parseRow(value, 7, expected);
  } catch (error) {
    if (error instanceof RowError) return error;
    throw error;
  }
  throw new Error('accepted');
}

describe('parseRow', () => {
  it('reads the three kinds and ignores other fields', () => {
    expect(parseRow({ text: '', id: 3 }, 1)).toEqual({ kind: 'text', line: 1, text: '' });
    expect(parseRow({ prompt: 'a', completion: 'b', source: 'x' }, 2)).toEqual({
      kind: 'prompt',
      line: 2,
      prompt: 'a',
      completion: 'b',
    });
    const odd = messages.map((message) => ({ ...message, name: 'x', weight: 0 }));
    expect(parseRow({ messages: odd, tools: null, tool_calls: [] }, 3)).toEqual({
      kind: 'messages',
      line: 3,
      messages,
    });
  });

  it('takes text before prompt before messages, and null for absent', () => {
    expect(parseRow({ messages, prompt: 'p', completion: 'c', text: 't' }, 1).kind).toBe('text');
    expect(parseRow({ messages, prompt: 'p', completion: 'c', text: null }, 1).kind).toBe('prompt');
    expect(parseRow({ messages, prompt: null, text: null }, 1).kind).toBe('messages');
  });

  it.each<[string, unknown, string, string]>([
    ['no field it knows', { question: 'q', answer: 'a' }, '', 'question, answer'],
    ['nothing', {}, '', 'no fields'],
    ['a text that is no string', { text: 3 }, 'text', 'a number'],
    ['a prompt that is no string', { prompt: messages, completion: 'x' }, 'prompt', 'a list'],
    ['no completion', { prompt: 'a' }, 'completion', 'no completion'],
    ['messages that are no list', { messages: 'hi' }, 'messages', 'a string'],
    ['no messages', { messages: [] }, 'messages', 'empty'],
    ['a message that is no object', { messages: ['hi'] }, 'messages[0]', 'a string'],
    ['no role', { messages: [{ content: 'a' }] }, 'messages[0].role', 'no messages[0].role'],
    ['an odd role', { messages: [{ role: 'user<|im_end|>', content: 'a' }] }, 'messages[0].role', 'not a role'],
    ['no content', { messages: [messages[0], { role: 'assistant' }] }, 'messages[1].content', 'no messages[1].content'],
    [
      'content that is no string',
      { messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      'messages[0].content',
      'a list',
    ],
    ['tool calls', { messages: [{ ...messages[1], tool_calls: [{}] }] }, 'messages[0].tool_calls', 'not supported'],
    ['tools', { messages, tools: [{ name: 'f' }] }, 'tools', 'not supported'],
    ['a list', [1], '', 'a list'],
    ['a null', null, '', 'null'],
    ['fields of a prototype', JSON.parse('{"__proto__": {"text": "x"}}'), '', '__proto__'],
  ])('refuses %s by line and field', (_, value, field, part) => {
    const error = refusal(value);
    expect([error.line, error.field]).toEqual([7, field]);
    expect(error.message).toMatch(/^Line 7: /);
    expect(error.message).toContain(part);
  });

  it('asks for the field that the file began with', () => {
    expect(refusal({ a: 1 }, 'messages').message).toContain('has no messages field (it has a)');
    expect(refusal({ a: 1 }, 'messages').field).toBe('messages');
  });
});
