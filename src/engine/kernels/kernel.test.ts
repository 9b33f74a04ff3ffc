import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defineKernel, grid, inout, input, kernelSource, packUniform, uniformBytes, variantKey } from './kernel.ts';
import { lowRankGradientKernel } from './low_rank.ts';
import { rmsNormKernel } from './rms_norm.ts';
import { overrideShader, shaderFiles, shaderSource } from './shader_sources.ts';
import { swigluKernel } from './swiglu.ts';

describe('grid', () => {
  test('covers the count, within the limit, with less than a row to spare', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (count) => {
        const [x, y, z] = grid(count);
        expect(Math.max(x, y, z)).toBeLessThanOrEqual(65535);
        expect(x * y * z).toBeGreaterThanOrEqual(count);
        expect(x * y * z - count).toBeLessThan(Math.max(1, y));
      }),
    );
  });

  test('stays in one dimension as long as it can', () => {
    expect([grid(0), grid(65535), grid(65536)]).toEqual([
      [0, 1, 1],
      [65535, 1, 1],
      [32768, 2, 1],
    ]);
  });
});

describe('packUniform', () => {
  const fields = { count: 'u32', shift: 'i32', scale: 'f32' } as const;

  test('writes fields in order, little-endian, from the offset', () => {
    const view = new DataView(new ArrayBuffer(20));
    packUniform(fields, { scale: 0.5, count: 0xfffffffe, shift: -3 }, view, 4);
    expect([view.getUint32(4, true), view.getInt32(8, true), view.getFloat32(12, true)]).toEqual([0xfffffffe, -3, 0.5]);
    expect([view.getUint32(0, true), view.getUint32(16, true)]).toEqual([0, 0]);
  });

  test.each([
    ['missing', { count: 1, scale: 1 }, 'shift has no value'],
    ['NaN', { count: 1, shift: 1, scale: Number.NaN }, 'scale has no value'],
    ['fractional', { count: 1.5, shift: 1, scale: 1 }, 'count must be an integer'],
  ])('refuses a %s value', (_, values, message) => {
    expect(() => packUniform(fields, values, new DataView(new ArrayBuffer(16)), 0)).toThrow(message);
  });

  test('a uniform is whole vectors of 16 bytes', () => {
    const sizes = [{}, fields, { ...fields, a: 'u32', b: 'f32' } as const].map(uniformBytes);
    expect(sizes).toEqual([16, 16, 32]);
  });
});

describe('kernelSource', () => {
  test('reads and writes f32 as it is, 16 bits through words; only what is asked for', () => {
    const whole = kernelSource(rmsNormKernel(false, true));
    expect(whole).toContain('var<storage, read_write> y: array<vec4<f32>>;');
    expect(whole).toContain('fn store_y(i: u32, value: vec4<f32>) { y[i] = value; }');
    expect(whole).not.toMatch(/fn load_y|fn store_x|halves/);
    const halves = kernelSource(rmsNormKernel(false, true, true));
    expect(halves).toContain('var<storage, read_write> y: array<vec2<u32>>;');
    expect(halves).toContain('fn store_y(i: u32, value: vec4<f32>) { y[i] = to_halves_4(value); }');
    expect(halves).toContain('fn to_halves_4(');
    expect(variantKey(rmsNormKernel(false, true, true))).not.toBe(variantKey(rmsNormKernel(false, true)));
    expect(() => rmsNormKernel(false, false, true)).toThrow('groups of four');
  });

  test('declares bindings, parameters and constants before the algorithm', () => {
    const source = kernelSource(rmsNormKernel(false, false));
    const declarations = source.slice(0, source.indexOf('@compute'));
    expect(declarations).toContain('const GROUP: u32 = 64u;');
    expect(declarations).toContain('struct Params { width: u32, weight_at: u32, epsilon: f32 }');
    expect(declarations).toContain('@group(0) @binding(2) var<storage, read_write> y: array<f32>;');
    expect(declarations).toContain('@group(0) @binding(3) var<uniform> params: Params;');
    expect(declarations).toContain('@group(0) @binding(4) var<uniform> step: Step;');
  });

  test('leaves no directive behind', () => {
    const gradient = lowRankGradientKernel({
      segments: 2,
      aligned: true,
      narrowVectors: true,
      split: true,
      halves: false,
    });
    for (const kernel of [rmsNormKernel(true, true), swigluKernel('gelu_tanh', true), gradient]) {
      expect(kernelSource(kernel)).not.toMatch(/^\s*#|\{[a-z]\}/m);
    }
  });
});

test('variants differ by constants and bindings', () => {
  const kernel = (flag: boolean, binding: string) =>
    defineKernel({
      name: 'k',
      shader: 'k.wgsl',
      bindings: { x: input('f32'), [binding]: inout('f32') },
      params: {},
      constants: { FLAG: flag, SIZE: 4 },
    });
  const keys = [kernel(true, 'y'), kernel(false, 'y'), kernel(true, 'z')].map(variantKey);
  expect(new Set(keys).size).toBe(3);
  expect(variantKey(kernel(true, 'y'))).toBe(keys[0]);
});

describe('kernelSource in parts', () => {
  const constants = new Proxy({}, { get: () => true, has: () => true }) as Record<string, boolean>;
  const kernel = (shader: string) => defineKernel({ name: shader, shader, bindings: {}, params: {}, constants });

  test.each(shaderFiles().filter((file) => shaderSource(file).includes('@compute')))('%s', (file) => {
    const source = kernelSource(kernel(file), true);
    expect(source).toContain('var<uniform> dispatch_part: DispatchPart;');
    const [entry] = /fn main\([^{]*\{/.exec(source)!;
    expect(entry).not.toContain('num_workgroups');
    const [, group] = /workgroup_id\) (\w+)/.exec(shaderSource(file)) ?? [];
    if (group) expect(source).toContain(`let ${group} = group_in_part + vec3<u32>(dispatch_part.first_x`);
  });

  test('a kernel that counts invocations over the whole grid is refused', () => {
    const restore = overrideShader(
      'swiglu.wgsl',
      'fn main(@builtin(global_invocation_id) at: vec3<u32>, @builtin(local_invocation_index) lane: u32) {}',
    );
    expect(() => kernelSource(kernel('swiglu.wgsl'), true)).toThrow(
      /swiglu.wgsl cannot be dispatched in parts: .*global_invocation_id/,
    );
    expect(kernelSource(kernel('swiglu.wgsl'))).toContain('global_invocation_id');
    restore();
  });
});
