import { existsSync, rmSync, truncateSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { diskFolder } from '../src/cli/disk_folder.ts';
import { readPeftAdapter } from '../src/formats/peft.ts';
import { type Outcome, RunFolder, run } from './command_line.ts';

/** Each fault is the one change to a run that trains without it: that run is the control of all of them. */
let folder: RunFolder;

beforeEach(() => {
  folder = new RunFolder();
  folder.edit('case.json', (config) => {
    config.training.max_steps = 2;
  });
});

afterEach(() => folder.dispose());

const train = (runtime: string) =>
  run('train', folder.path('case.json'), '--out', folder.path('out'), '--runtime', runtime);

function expectRefusal({ exitCode, stdout, stderr }: Outcome, line: RegExp): void {
  expect(stderr).toMatch(line);
  // Said before a GPU is asked for, and with no trace of the program's insides.
  expect(stderr).not.toContain('adapter:');
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(stdout).toBe('');
  expect(exitCode).toBe(1);
  expect(existsSync(folder.path('out'))).toBe(false);
}

it('control: the unharmed run trains', async () => {
  const { exitCode, stdout, stderr } = await train('chromium');
  expect(stderr).toContain('adapter: ');
  expect(stdout).toMatch(/^finished 2 steps .* final loss \d\.\d+/);
  expect(exitCode).toBe(0);
  const lines = folder.read('out/log.jsonl').toString().trim().split('\n');
  expect(lines.map((line) => JSON.parse(line).step)).toEqual([1, 2]);
  expect(existsSync(folder.path('out/adapter/adapter_model.safetensors'))).toBe(true);
  expect(existsSync(folder.path('out/adapter/adapter_config.json'))).toBe(true);
});

it('a truncated shard', async () => {
  truncateSync(folder.path('model/model.safetensors'), folder.read('model/model.safetensors').length - 100);
  expectRefusal(
    await train('node'),
    /^SafetensorsError: .*model\.safetensors.*100 bytes are missing.*download it again/m,
  );
});

it('an unknown architecture', async () => {
  folder.edit('model/config.json', (config) => {
    config.model_type = 'mamba';
  });
  expectRefusal(await train('node'), /^UnknownArchitectureError: .*"mamba".*supported are gemma2, .*llama, .*smollm3/m);
});

it('an empty dataset', async () => {
  folder.write('data.jsonl', '');
  expectRefusal(await train('node'), /^EmptyDatasetError: .*data\.jsonl has no rows\. Choose a file/m);
});

it('a row without the needed field', async () => {
  const rows = folder.read('data.jsonl').toString().split('\n');
  rows[2] = JSON.stringify({ txet: 'misspelt' });
  folder.write('data.jsonl', rows.join('\n'));
  expectRefusal(await train('node'), /^RowError: Line 3: the row has no text field \(it has txet\).*Add the field/m);
});

it('an adapter of the wrong shape', async () => {
  folder.edit('case.json', (config) => {
    config.lora.r = 4;
    config.lora.lora_alpha = 8;
  });
  expectRefusal(
    await train('node'),
    /^AdapterShapeError: .*lora_A has the wrong shape: expected \[4, 64\], found \[8, 64\]/m,
  );
});

it('an unknown target module', async () => {
  folder.edit('case.json', (config) => {
    config.lora.target_modules = ['q_proj', 'qq_proj'];
  });
  expectRefusal(await train('node'), /^LoraTargetError: .*no linear "qq_proj"\. Choose from q_proj/m);
});

it('the same in Chromium: errors cross the worker with name and advice', async () => {
  folder.write('data.jsonl', '');
  expectRefusal(await train('chromium'), /^EmptyDatasetError: .*data\.jsonl has no rows\. Choose a file/m);
});

it('a model folder that is not there', async () => {
  rmSync(folder.path('model'), { recursive: true });
  expectRefusal(await train('node'), /^ModelNotFoundError: There is no model folder .*relative to that file/m);
});

it('a RunConfig with a wrong field', async () => {
  folder.edit('case.json', (config) => {
    config.training.learning_rate = 'fast';
  });
  expectRefusal(await train('node'), /^RunConfigError: RunConfig: training\.learning_rate: /m);
});

it('a learning rate that diverges: named with its step, and what was trained before is kept', async () => {
  folder.edit('case.json', (config) => {
    config.training.learning_rate = 1e25;
    config.training.max_steps = 8;
  });
  const { exitCode, stderr } = await train('chromium');
  const step = Number(/^NonFiniteLossError: Step (\d+): .*lower learning_rate/m.exec(stderr)?.[1]);
  expect(step).toBeGreaterThan(1);
  expect(exitCode).toBe(1);
  expect(folder.read('out/log.jsonl').toString().trim().split('\n')).toHaveLength(step - 1);
  // Reading it refuses values that are not numbers.
  await readPeftAdapter(diskFolder(folder.path('out/adapter')));
});

it('a command line that is not understood: exit code 2', async () => {
  const { exitCode, stderr } = await run('train', '--steps', '3');
  expect(stderr).toMatch(/^UsageError: .*--steps/m);
  expect(stderr).toContain('Usage:');
  expect(exitCode).toBe(2);
  expect((await run('parity', 'case', '--resume')).stderr).toMatch(/^UsageError: parity has no option --resume/m);
});
