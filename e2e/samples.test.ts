/** Sample prompts beside a run from the command line: at its end they go on as PyTorch's adapter continues them. */
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { diskFolder } from '../src/cli/disk_folder.ts';
import { Tokenizer } from '../src/data/tokenizer.ts';
import { ROOT, RunFolder, run } from './command_line.ts';

let folder: RunFolder;
beforeEach(() => {
  folder = new RunFolder(path.join(ROOT, 'e2e/golden/llama-longrope'));
});
afterEach(() => folder.dispose());

const jsonLines = (file: string) =>
  folder
    .read(file)
    .toString()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

it('a line a prompt before the first step, every 3 steps and at the end; training is what it is without', async () => {
  const { greedy, steps } = JSON.parse(folder.read('expected/expected.json').toString());
  const tokenizer = await Tokenizer.load(diskFolder(folder.path('model')));
  const prompts = [tokenizer.decode(greedy.prompt), 'Alice'];
  expect(tokenizer.encode(prompts[0]!).ids).toEqual(greedy.prompt);
  folder.edit('case.json', (config) => {
    config.samples = { prompts, every: 3, max_new_tokens: greedy.continuation.length };
  });
  const { exitCode, stderr } = await run('train', folder.path('case.json'), '--out', folder.path('out'));
  expect(exitCode, stderr).toBe(0);
  const samples = jsonLines('out/samples.jsonl');
  expect(samples.map(({ step, prompt }) => [step, prompt])).toEqual(
    [0, 3, 6, steps.length].flatMap((step) => prompts.map((prompt) => [step, prompt])),
  );
  const text = tokenizer.decode(greedy.continuation);
  expect(samples.at(-2).text).toBe(text);
  // The control: the adapter that it began with goes on in another way.
  expect(samples[0].text).not.toBe(text);
  expect(stderr).toContain(
    `sample after step ${steps.length}: ${JSON.stringify(prompts[0])} → ${JSON.stringify(text)}`,
  );
  const losses: number[] = jsonLines('out/log.jsonl').map(({ loss }) => loss);
  expect(losses).toHaveLength(steps.length);
  for (const [i, loss] of losses.entries()) expect(Math.abs(loss / steps[i].loss - 1)).toBeLessThan(2e-5);
});
