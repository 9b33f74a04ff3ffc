import { describe, expect, it } from 'vitest';
import { parseRow, RowError, type RowKind, type RowOptions } from './rows.ts';
import { detectShape } from './shapes.ts';

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

  it('keeps what an assistant thought, where there is something', () => {
    const thought = [messages[0], { ...messages[1], reasoning_content: 'hm', thinking: '', reasoning: null }];
    expect(parseRow({ messages: thought }, 1)).toMatchObject({
      messages: [messages[0], { ...messages[1], reasoning_content: 'hm' }],
    });
    expect(parseRow({ messages: [{ ...messages[1], reasoning_content: '' }] }, 1)).toEqual({
      kind: 'messages',
      line: 1,
      messages: [messages[1]],
    });
  });

  it('takes text before prompt before messages, and null for absent', () => {
    expect(parseRow({ messages, prompt: 'p', completion: 'c', text: 't' }, 1).kind).toBe('text');
    expect(parseRow({ messages, prompt: 'p', completion: 'c', text: null }, 1).kind).toBe('prompt');
    expect(parseRow({ messages, prompt: null, text: null }, 1).kind).toBe('messages');
  });

  it.each<[string, unknown, string, string]>([
    ['no field it knows', { title: 'q', body: 'a' }, '', 'title, body'],
    ['a preference pair', { prompt: 'p', chosen: 'a', rejected: 'b' }, 'chosen', 'preference training'],
    ['a tool in ShareGPT', { conversations: [{ from: 'observation', value: 'x' }] }, 'conversations[0].from', 'tools'],
    ['no turns', { conversations: [] }, 'conversations', 'empty'],
    ['an answer that is no string', { question: 'q', answer: ['a'] }, 'answer', 'a list'],
    ['nothing', {}, '', 'no fields'],
    ['a text that is null', { text: null, id: 1 }, 'text', 'text is empty (null)'],
    ['messages that are null', { messages: null }, 'messages', 'messages is empty (null)'],
    ['a text that is no string', { text: 3 }, 'text', 'a number'],
    ['a prompt that is no string', { prompt: ['a'], completion: 'x' }, 'prompt', 'a list'],
    [
      'a prompt of messages before a text',
      { prompt: messages, completion: 'x' },
      'completion',
      'must be a list of {"role"',
    ],
    ['a text before messages', { prompt: 'x', completion: messages }, 'prompt', 'must be a list of {"role"'],
    ['tools of a prompt', { prompt: messages, completion: messages, tools: [{}] }, 'tools', 'not supported'],
    ['no completion', { prompt: 'a' }, 'completion', 'no completion'],
    ['messages that are no list', { messages: 'hi' }, 'messages', 'a string'],
    ['no messages', { messages: [] }, 'messages', 'empty'],
    ['a message that is no object', { messages: ['hi'] }, 'messages[0]', 'a string'],
    ['no role', { messages: [{ content: 'a' }] }, 'messages[0].role', 'no messages[0].role'],
    ['an odd role', { messages: [{ role: 'user<|im_end|>', content: 'a' }] }, 'messages[0].role', 'not a role'],
    ['no content', { messages: [messages[0], { role: 'assistant' }] }, 'messages[1].content', 'no messages[1].content'],
    ['content that is no string', { messages: [{ role: 'user', content: 5 }] }, 'messages[0].content', 'a number'],
    [
      'a part without a text',
      { messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      'messages[0].content[0].text',
      'no messages[0].content[0].text',
    ],
    [
      'a part that is an image',
      {
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'What is it?' },
              { type: 'image', url: 'x' },
            ],
          },
        ],
      },
      'messages[0].content[1].type',
      'is of type "image", and only text',
    ],
    [
      'a part that is a list',
      { messages: [{ role: 'user', content: [['a']] }] },
      'messages[0].content[0]',
      'is a list; it must be a string, or an object',
    ],
    ['tool calls', { messages: [{ ...messages[1], tool_calls: [{}] }] }, 'messages[0].tool_calls', 'not supported'],
    ['tools', { messages, tools: [{ name: 'f' }] }, 'tools', 'not supported'],
    ['functions', { messages, functions: [{ name: 'f' }] }, 'functions', 'not supported'],
    [
      'a function call',
      { messages: [{ ...messages[1], function_call: { name: 'f' } }] },
      'messages[0].function_call',
      'not supported',
    ],
    [
      'thinking by another name',
      { messages: [{ ...messages[1], thinking: 'hm' }] },
      'messages[0].thinking',
      'call the field reasoning_content',
    ],
    [
      'thinking of a user',
      { messages: [{ ...messages[0], reasoning_content: 'hm' }] },
      'messages[0].reasoning_content',
      'not to one of user',
    ],
    [
      'thinking that is no text',
      { messages: [{ ...messages[1], reasoning_content: ['hm'] }] },
      'messages[0].reasoning_content',
      'a list',
    ],
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

describe('shapes', () => {
  const read = (value: unknown, options?: RowOptions) => parseRow(value, 1, undefined, options);

  it('joins the parts of a content', () => {
    const parts = [{ type: 'text', text: 'What ' }, 'is ', { text: 'it?' }];
    expect(read({ messages: [{ role: 'user', content: parts }] })).toMatchObject({
      messages: [{ role: 'user', content: 'What is it?' }],
    });
  });

  it('reads a prompt and a completion of messages, in JSON too, and counts the prompt’s own', () => {
    const prompt = [
      { role: 'system', content: 's' },
      { role: 'user', content: 'u' },
    ];
    const completion = [{ role: 'assistant', content: 'a' }];
    const row = { kind: 'messages', line: 1, messages: [...prompt, ...completion], promptMessages: 2 };
    expect(read({ prompt, completion })).toEqual(row);
    expect(read({ prompt: JSON.stringify(prompt), completion: JSON.stringify(completion) })).toEqual(row);
    // A text is one whatever it looks like.
    expect(read({ prompt: '[1, 2]', completion: '[3]' })).toMatchObject({ kind: 'prompt' });
  });

  it('puts a system message into a prompt', () => {
    const prompt = [
      { role: 'system', content: 's' },
      { role: 'user', content: 'u' },
    ];
    const completion = [{ role: 'assistant', content: 'a' }];
    const roles = (value: unknown, mode: 'add' | 'replace') => {
      const row = read(value, { system: { mode, text: 'new' } });
      if (row.kind !== 'messages') throw new Error(row.kind);
      return [row.messages.map(({ content }) => content).join(' '), row.promptMessages];
    };
    expect(roles({ prompt, completion }, 'add')).toEqual(['s u a', 2]);
    expect(roles({ prompt, completion }, 'replace')).toEqual(['new u a', 2]);
    expect(roles({ prompt: prompt.slice(1), completion }, 'add')).toEqual(['new u a', 2]);
  });

  it('reads ShareGPT with the names of roles', () => {
    const conversations = [
      { from: 'system', value: 's' },
      { from: 'human', value: 'h' },
      { from: 'gpt', value: 'g' },
    ];
    expect(read({ conversations })).toMatchObject({
      messages: [
        { role: 'system', content: 's' },
        { role: 'user', content: 'h' },
        { role: 'assistant', content: 'g' },
      ],
    });
  });

  it('puts Alpaca into its prompt, with input or without', () => {
    const row = read({ instruction: 'Add.', input: '1 2', output: '3' });
    expect(row).toMatchObject({ kind: 'prompt', completion: '3' });
    expect(row.kind === 'prompt' && row.prompt).toMatch(
      /### Instruction:\nAdd\.\n\n### Input:\n1 2\n\n### Response:\n$/,
    );
    for (const input of ['', null, undefined]) {
      const without = read({ instruction: 'Add.', input, output: '3' });
      expect(without.kind === 'prompt' && without.prompt).toMatch(/### Instruction:\nAdd\.\n\n### Response:\n$/);
    }
  });

  it('reads questions and answers as a conversation', () => {
    expect(read({ question: 'q', answer: 'a' })).toMatchObject({
      kind: 'messages',
      messages: [{ role: 'user' }, { role: 'assistant' }],
    });
  });

  it('reads a conversation that stands as JSON in a cell', () => {
    expect(read({ messages: JSON.stringify(messages) })).toMatchObject({ messages });
    expect(() => read({ messages: '[oops' })).toThrow('a string');
  });

  it('takes columns for what they are said to be', () => {
    const columns = { title: 'user', moral: 'user', text: 'assistant', about: 'system' } as const;
    const row = { title: 'A', text: 'B', moral: 'C', about: '', other: 'x' };
    expect(read(row, { mapping: { columns } })).toMatchObject({
      messages: [
        { role: 'user', content: 'A\n\nC' },
        { role: 'assistant', content: 'B' },
      ],
    });
    expect(read({ ...row, moral: '' }, { mapping: { columns } })).toMatchObject({ messages: [{ content: 'A' }, {}] });
    expect(() => read({ ...row, text: ' ' }, { mapping: { columns } })).toThrow('text is empty');
    expect(read({ a: 1, b: true }, { mapping: { columns: { a: 'prompt', b: 'completion' } } })).toMatchObject({
      prompt: '1',
      completion: 'true',
    });
    expect(read({ chosen: messages }, { mapping: { columns: { chosen: 'messages' } } })).toMatchObject({ messages });
  });

  it('adds a system message where there is none, or replaces it', () => {
    const own = { messages: [{ role: 'system', content: 'own' }, ...messages] };
    const system = (mode: 'add' | 'replace') => ({ system: { mode, text: 'new' } });
    const first = (value: unknown, options: RowOptions) => {
      const row = read(value, options);
      return row.kind === 'messages' ? row.messages.map(({ content }) => content) : [];
    };
    expect(first({ messages }, system('add'))).toEqual(['new', 'a', 'b']);
    expect(first(own, system('add'))).toEqual(['own', 'a', 'b']);
    expect(first(own, system('replace'))).toEqual(['new', 'a', 'b']);
    expect(read({ text: 'x' }, system('replace'))).toEqual({ kind: 'text', line: 1, text: 'x' });
  });
});

describe('detectShape', () => {
  it.each([
    [[{ text: 'a' }], 'text', 'The first row has text'],
    [[{ messages }, { messages }], 'messages', 'The first 2 rows have messages'],
    [[{ conversations: [] }], 'sharegpt', 'ShareGPT'],
    [[{ instruction: 'a', output: 'b' }], 'alpaca', 'Alpaca'],
    [[{ chosen: 'a', rejected: 'b', prompt: 'c' }], 'preference', 'DPO'],
    [[{ text: 'a' }, { messages }], 'mixed', 'text (1), messages (1)'],
    [[{ text: 'a' }, { x: 1 }], 'text', '1 of the first 2 rows have text'],
    [[{ x: 1, y: 2 }, 3], 'unknown', 'x, y'],
    [[], 'unknown', 'no rows'],
  ])('%#: %s', (rows, shape, reason) => {
    const detected = detectShape(rows);
    expect(detected.shape).toBe(shape);
    expect(detected.reason).toContain(reason);
  });
});
