import { describe, expect, test } from 'vitest';
import { parseTask } from './questions.ts';
import { RowError } from './rows.ts';

const chat = (content: string) => ({ kind: 'chat', messages: [{ role: 'user', content }] });

describe('multiple choice', () => {
  const choices = ['red', 'green', 'blue'];
  test.each([
    ['a number from 0', { question: 'Sky?', choices, answer: 2 }, 2],
    ['a letter', { question: 'Sky?', choices, answer: 'C' }, 2],
    ['the text', { question: 'Sky?', options: choices, answer: 'green' }, 1],
    ['labels of its own', { question: 'Sky?', choices: { text: choices, label: ['1', '2', '3'] }, answerKey: '3' }, 2],
    ['digits as text', { question: 'Sky?', choices, answer: '1' }, 1],
  ])('%s', (_, row, answer) => {
    expect(parseTask(row, 1)).toEqual({ kind: 'choice', question: chat('Sky?'), choices, answer });
  });
  test('a prompt is text, messages are a conversation', () => {
    expect(parseTask({ prompt: 'The sky is', choices, answer: 2 }, 1).question).toEqual({
      kind: 'text',
      text: 'The sky is',
    });
    const messages = [{ role: 'user', content: 'Sky?' }];
    expect(parseTask({ messages, choices, answer: 2 }, 1).question).toEqual(chat('Sky?'));
  });
  test.each([
    ['no answer', { question: 'Sky?', choices }, 'answer is missing'],
    ['an answer that is none of them', { question: 'Sky?', choices, answer: 'D' }, 'none of the choices'],
    ['one choice', { question: 'Sky?', choices: ['red'], answer: 0 }, 'two texts or more'],
    ['no question', { choices, answer: 0 }, 'question is missing'],
  ])('%s is refused', (_, row, message) => {
    expect(() => parseTask(row, 7)).toThrow(RowError);
    expect(() => parseTask(row, 7)).toThrow(message);
  });
});

describe('an answer word for word', () => {
  test('of a prompt, a question, a conversation', () => {
    expect(parseTask({ prompt: 'a', completion: 'b' }, 1)).toEqual({
      kind: 'exact',
      question: { kind: 'text', text: 'a' },
      expected: 'b',
    });
    expect(parseTask({ question: 'a', answer: 'b' }, 1)).toEqual({ kind: 'exact', question: chat('a'), expected: 'b' });
    const messages = [
      { role: 'system', content: 's' },
      { role: 'user', content: 'u' },
      { role: 'assistant', content: 'w' },
    ];
    const task = parseTask({ messages }, 1);
    expect(task).toMatchObject({ kind: 'exact', expected: 'w', question: { kind: 'chat' } });
  });
  test.each([
    ['text', { text: 'a' }],
    ['a conversation without an answer', { messages: [{ role: 'user', content: 'u' }] }],
  ])('%s asks nothing', (_, row) => {
    expect(() => parseTask(row, 3)).toThrow(RowError);
  });
});
