import { describe, expect, it } from 'vitest';
import { compileChatTemplate } from './chat_template.ts';

const print = (expression: string, content = '\n  aB \ud83d\ude00\n') =>
  compileChatTemplate(`[{{ ${expression} }}]`, {})([{ role: 'user', content }], false);

// What jinja2 3.1 prints.
describe('strings in templates are Python’s', () => {
  it.each([
    ["messages[0].content.strip('\\n')", '[  aB 😀]'],
    ["messages[0].content.lstrip('\\n')", '[  aB 😀\n]'],
    ["messages[0].content.rstrip('\\n').strip()", '[aB 😀]'],
    ['messages[0].content | trim', '[aB 😀]'],
    ["('xxax' | trim('x')) + ('xxbx' | trim(chars='x'))", '[ab]'],
    ['messages[0].content | length', '[8]'],
    ['(messages[0].content | trim).split(" ")[1]', '[😀]'],
    ["('a b c'.split(' ', 1) | last) + ('a b c'.split(maxsplit=1) | last)", '[b cb c]'],
    [
      "'aBC dE'.capitalize() + ('aBC dE' | capitalize) + 'aBC dE'.title() + ('aBC dE' | title)",
      '[Abc deAbc deAbc DeAbc De]',
    ],
    ["{'a': ' b '.strip()}['a'] ~ [' c '.strip()][0]", '[bc]'],
    ["('' == false) | int ~ (0 == false) | int ~ (1 == '1') | int ~ (1 == 1.0) | int", '[0101]'],
    ["('' != false) | int ~ ([1, 'a'] == [1, 'a']) | int ~ ({'a': [1]} != {'a': [2]}) | int", '[111]'],
    ['(messages[0] == messages[-1]) | int', '[1]'],
    ['[1, 2] | length + (messages[0] | length)', '[4]'],
  ])('%s', (expression, printed) => {
    expect(print(expression)).toBe(printed);
  });

  it('refuses what it cannot do', () => {
    expect(() => print('missing.strip()')).toThrow('a missing value has no strip()');
    expect(() => print('(4).strip()')).toThrow('a number has no strip()');
    expect(() => compileChatTemplate('{% filter trim %} a {% endfilter %}', {})).toThrow('filtered with trim');
    expect(compileChatTemplate('{% filter upper %}a{% endfilter %}', {})([], false)).toBe('A');
  });
});
