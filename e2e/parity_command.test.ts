import { afterEach, beforeEach, expect, it } from 'vitest';
import { NO_DAWN, RunFolder, run } from './command_line.ts';

/** Two steps of the case, so that only what two steps cannot reach is missed. */
let folder: RunFolder;

beforeEach(() => {
  folder = new RunFolder();
  folder.edit('case.json', (config) => {
    config.training.max_steps = 2;
  });
  folder.edit('expected/expected.json', (expected) => {
    expected.steps.length = 2;
    expected.greedy.continuation = [];
  });
});

afterEach(() => folder.dispose());

it('names the check that is missed and exits with 1; Node with Dawn', async (context) => {
  const { exitCode, stdout, stderr } = await run('parity', folder.directory, '--runtime', 'node');
  context.skip(stderr.includes('NoGpuError'), NO_DAWN);
  // Dawn writes its warnings to stdout by itself.
  const line = JSON.parse(stdout.split('\n').find((text) => text.startsWith('{')) ?? 'null');
  // The adapter after 20 steps is not that after two; everything else is as PyTorch has it.
  expect(line).toMatchObject({ case: 'llama-text', pass: false, failed: ['final adapter'], steps: 2 });
  expect(line.maxLossRelError).toBeLessThan(2e-5);
  expect(stderr).toMatch(/^ {2}MISS final adapter: /m);
  expect(stderr).toMatch(/^adapter: \S/m);
  expect(stderr).toMatch(/^ {2}matmul_nf4 +\d+$/m);
  expect(exitCode).toBe(1);
});

it('goes on with the next case after one that cannot be run', async () => {
  folder.write('expected/expected.json', '{}');
  const { exitCode, stdout } = await run('parity', folder.path('nowhere'), folder.directory, '--runtime', 'node');
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines).toMatchObject([
    { case: 'nowhere', pass: false, error: 'ParityCaseError' },
    { pass: false, error: 'ParityCaseError' },
  ]);
  expect(exitCode).toBe(1);
});
