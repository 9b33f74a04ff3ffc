import { afterEach, describe, expect, test } from 'vitest';
import { assembleShader, overrideShader, shaderFiles, shaderSource } from './shader_sources.ts';

const FILE = 'rms_norm.wgsl';
const INCLUDED = 'common/reduce.wgsl';
const restores: (() => void)[] = [];

/** Gives two existing files other texts for one test. */
function assemble(text: string, constants: Record<string, number | boolean> = {}, included = 'included') {
  restores.push(overrideShader(FILE, text), overrideShader(INCLUDED, included));
  return assembleShader(FILE, constants).split('\n');
}

afterEach(() => {
  for (const restore of restores.splice(0)) restore();
});

test('every file below shaders/ is known by its path', () => {
  expect(shaderFiles()).toContain(FILE);
  expect(shaderFiles()).toContain(INCLUDED);
  expect(shaderSource(FILE)).toContain('inverseSqrt');
  expect(() => shaderSource('none.wgsl')).toThrow('no shader file none.wgsl');
});

test('an override lasts until it is taken back', () => {
  const original = shaderSource(FILE);
  const restore = overrideShader(FILE, 'other');
  expect(shaderSource(FILE)).toBe('other');
  restore();
  expect(shaderSource(FILE)).toBe(original);
});

test('a file is included once', () => {
  const include = `#include "${INCLUDED}"`;
  expect(assemble(`a\n${include}\nb\n${include}\nc`)).toEqual(['a', 'included', 'b', 'c']);
});

describe('#if', () => {
  const text = 'a\n#if X\nx\n#if Y\nxy\n#else\nx, not y\n#endif\n#else\nnot x\n#endif\nb';

  test.each([
    [true, true, ['a', 'x', 'xy', 'b']],
    [true, false, ['a', 'x', 'x, not y', 'b']],
    [false, true, ['a', 'not x', 'b']],
  ])('X %s, Y %s', (x, y, lines) => {
    expect(assemble(text, { X: x, Y: y })).toEqual(lines);
  });

  test('without #else it may leave nothing', () => {
    expect(assemble('a\n#if X\nx\n#endif\nb', { X: false })).toEqual(['a', 'b']);
  });

  test('holds across an include', () => {
    expect(assemble(`#include "${INCLUDED}"\nb`, { X: false }, '#if X\nx\n#endif')).toEqual(['b']);
  });
});

describe('#for', () => {
  test('repeats its lines, by a number or a constant', () => {
    expect(assemble('#for i 2\na{i}\n#endfor')).toEqual(['a0', 'a1']);
    expect(assemble('#for i N\na{i}\n#endfor', { N: 3 })).toEqual(['a0', 'a1', 'a2']);
  });

  test('nests, with conditions inside', () => {
    const text = '#for i 2\n#for j 2\n#if X\n{i}{j}\n#endif\n#endfor\n#endfor';
    expect(assemble(text, { X: true })).toEqual(['00', '01', '10', '11']);
  });
});

test.each([
  ['#if X\na', { X: true }, '#if X is not closed'],
  ['#for i 2\na', {}, '#for i 2 is not closed'],
  ['#if X\na\n#endif', {}, 'asks for X, which the kernel does not define'],
  ['#for i N\na\n#endfor', {}, 'asks for N, which the kernel does not define'],
])('%s is an error', (text, constants, message) => {
  expect(() => assemble(text, constants)).toThrow(message);
});
