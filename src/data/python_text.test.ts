import { describe, expect, it } from 'vitest';
import { capitalize, isBlank, split, strip, title } from './python_text.ts';

// What CPython 3.11 gives.
describe("Python's string methods", () => {
  it('strip whitespace as Python knows it', () => {
    expect(strip(' \t\n\u0085\x1c\u3000a b\u2028\x1f ')).toBe('a b');
    expect(strip('\ufeff a \ufeff')).toBe('\ufeff a \ufeff');
    expect(strip(' a ', 'left')).toBe('a ');
    expect(strip(' a ', 'right')).toBe(' a');
    expect(strip(' \n ')).toBe('');
  });

  it('strip given characters only', () => {
    expect(strip('\n\n a \n', 'both', '\n')).toBe(' a ');
    expect(strip('xyaxy', 'left', 'yx')).toBe('axy');
    expect(strip('xyaxy', 'right', 'yx')).toBe('xya');
    expect(strip('😀a😀', 'both', '😀')).toBe('a');
    expect(strip(' a ', 'both', '')).toBe(' a ');
  });

  it('split', () => {
    expect(split(' a  b\u0085c ')).toEqual(['a', 'b', 'c']);
    expect(split(' a  b c ', null, 1)).toEqual(['a', 'b c ']);
    expect(split('a,b,,c', ',')).toEqual(['a', 'b', '', 'c']);
    expect(split('a,b,,c', ',', 1)).toEqual(['a', 'b,,c']);
    expect(split('', ',')).toEqual(['']);
    expect(split('')).toEqual([]);
    expect(() => split('a', '')).toThrow('empty separator');
  });

  it('capitals, and what is blank', () => {
    expect(capitalize('aSSistant x')).toBe('Assistant x');
    expect(capitalize('')).toBe('');
    expect(title('aSSistant o\u2019x y')).toBe('Assistant O\u2019X Y');
    expect([isBlank(''), isBlank(' \x1d'), isBlank('\ufeff'), isBlank(' a')]).toEqual([true, true, false, false]);
  });

  it('takes no time over a long run of spaces', () => {
    const long = `${' '.repeat(200_000)}a${' '.repeat(200_000)}b`;
    const began = performance.now();
    expect(strip(long)).toHaveLength(200_002);
    expect(performance.now() - began).toBeLessThan(1000);
  });
});
