/**
 * Corrupts each shader in small ways and expects its kernel's test to notice. docs/mutants.md lists the result; after a
 * change of the mutants `npx vitest run --project mutation -u` writes it anew.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { acquireGpu, type Gpu } from '../../src/engine/device/gpu.ts';
import { type KernelDefinition, kernelSource } from '../../src/engine/kernels/kernel.ts';
import { hasMatrices } from '../../src/engine/kernels/matmul_tile.ts';
import { PipelineCache } from '../../src/engine/kernels/pipeline_cache.ts';
import { overrideShader, shaderFiles, shaderSource } from '../../src/engine/kernels/shader_sources.ts';
import { allCases } from '../../src/engine/kernels/testing/all_cases.ts';
import type { Mutant } from './mutant.ts';
import { mutants } from './mutants.ts';

/** Always the same inputs: a mutant is caught every time or never. */
const SEED = 20260727;

let gpu: Gpu;

beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
});

afterAll(() => gpu.dispose());

function caseNamed(name: string) {
  const found = allCases.filter((kernelCase) => kernelCase.name === name);
  if (found.length !== 1) throw new Error(`${found.length} kernel cases are named "${name}"`);
  return found[0];
}

const passes = async (name: string, on = gpu) => {
  const { error, tolerance } = await caseNamed(name).run(on, SEED);
  return error <= tolerance;
};

function mutated({ file, find, replace }: Mutant): string {
  const parts = shaderSource(file).split(find);
  if (parts.length !== 2) throw new Error(`${file} has "${find}" ${parts.length - 1} times, not once`);
  return parts.join(replace);
}

/**
 * Compiles the kernels that the mutant changes, and shares the others. Each mutant has its own, so that several are
 * tested at once: most of their time is compiling.
 */
class MutatedPipelines extends PipelineCache {
  readonly #file: string;
  readonly #original: string;
  readonly #text: string;

  constructor(mutant: Mutant) {
    super(gpu.device);
    this.#file = mutant.file;
    this.#original = shaderSource(mutant.file);
    this.#text = mutated(mutant);
  }

  override get(kernel: KernelDefinition) {
    const plain = this.#with(this.#original, () => kernelSource(kernel));
    // A source is put together before get() returns; nobody else sees the mutation.
    return this.#with(this.#text, () =>
      kernelSource(kernel) === plain ? gpu.pipelines.get(kernel) : super.get(kernel),
    );
  }

  withMutation<T>(use: () => T): T {
    return this.#with(this.#text, use);
  }

  #with<T>(text: string, use: () => T): T {
    const restore = overrideShader(this.#file, text);
    try {
      return use();
    } finally {
      restore();
    }
  }
}

const caseNames = [...new Set(mutants.map(({ caughtBy }) => caughtBy))];

describe.concurrent.each(caseNames)('%s', (name) => {
  const itsMutants = mutants.filter(({ caughtBy }) => caughtBy === name);

  const needsMatrices = caseNamed(name).matrices === true;
  const skipWithout = (skip: (condition: boolean, note: string) => void) =>
    skip(needsMatrices && !hasMatrices(gpu.capabilities), 'no subgroup matrices');

  test('control: passes as the shaders are', async ({ skip }) => {
    skipWithout(skip);
    expect(await passes(name)).toBe(true);
  });

  test.for(itsMutants)('$file: $find → $replace', async (mutant, { skip }) => {
    skipWithout(skip);
    const pipelines = new MutatedPipelines(mutant);
    // The cases of common/exact.wgsl put a kernel of their own together, before anything is awaited.
    const passed = pipelines.withMutation(() => passes(name, { ...gpu, pipelines }));
    expect(await passed).toBe(false);
  });
});

test('every shader file has two mutants or more, each caught by a case that names the file', () => {
  for (const mutant of mutants) expect(mutated(mutant)).not.toBe(shaderSource(mutant.file));
  for (const file of shaderFiles()) {
    const own = mutants.filter((mutant) => mutant.file === file);
    expect(own.length, file).toBeGreaterThanOrEqual(2);
    for (const { caughtBy } of own) expect(caseNamed(caughtBy).shaderFiles, caughtBy).toContain(file);
  }
});

test('docs/mutants.md is up to date', async () => {
  const code = (text: string) => `\`${text.replaceAll('|', '\\|')}\``;
  const rows = mutants.map(({ file, find, replace, caughtBy }) => {
    const where = caseNamed(caughtBy).matrices ? `${caughtBy} (needs subgroup matrices)` : caughtBy;
    return `| ${[file, `${code(find)} → ${code(replace)}`, where].join(' | ')} |`;
  });
  const page = [
    '# Mutants',
    '',
    'Every shader, changed in one place, and the test that fails then. Checked by `e2e/mutation`, which also writes this page:',
    '`npx vitest run --project mutation -u`.',
    '',
    '| shader | change | caught by |',
    '|---|---|---|',
    ...rows.sort(),
    '',
  ].join('\n');
  await expect(page).toMatchFileSnapshot('../../docs/mutants.md');
});
