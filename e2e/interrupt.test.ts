import { existsSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { diskFolder } from '../src/cli/disk_folder.ts';
import { readPeftAdapter } from '../src/formats/peft.ts';
import { NO_DAWN, RunFolder, run, start } from './command_line.ts';

let folder: RunFolder;

beforeEach(() => {
  folder = new RunFolder();
  folder.edit('case.json', (config) => {
    config.training.max_steps = 10_000;
  });
});

afterEach(() => folder.dispose());

const logLines = () => {
  const file = folder.path('out/log.jsonl');
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
};

async function until(condition: () => boolean, seconds: number): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

it.for(process.env.NIBBLE_FULL ? ['chromium', 'node'] : ['chromium'])(
  'Ctrl-C keeps what was trained (%s)',
  async (runtime, context) => {
    const { child, outcome } = start(
      'train',
      folder.path('case.json'),
      '--out',
      folder.path('out'),
      '--runtime',
      runtime,
    );
    try {
      await until(() => logLines().length >= 2 || child.exitCode !== null, 90);
      child.kill('SIGINT');
      // npm passes a terminal's Ctrl-C on once more: that is not a second one.
      child.kill('SIGINT');
      const { exitCode, stdout, stderr } = await outcome;
      context.skip(stderr.includes('NoGpuError'), NO_DAWN);
      expect(stderr).toContain('Stopping after the step in flight');
      expect(exitCode).toBe(130);
      const steps = Number(/^stopped after (\d+) steps/m.exec(stdout)?.[1]);
      expect(steps).toBeGreaterThanOrEqual(2);
      expect(logLines().map((line) => JSON.parse(line).step)).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
      const before = await readPeftAdapter(diskFolder(folder.path('adapter_init')));
      const after = await readPeftAdapter(diskFolder(folder.path('out/adapter')));
      expect([...after.tensors.keys()].sort()).toEqual([...before.tensors.keys()].sort());
      const [name, trained] = [...after.tensors][0]!;
      expect(trained.data).not.toEqual(before.tensors.get(name)?.data);
      expect(after.config).toMatchObject({ r: 8, lora_alpha: 16, base_model_name_or_path: 'model' });
    } finally {
      child.kill('SIGKILL');
    }
  },
);

it('an adapter that was written is one to continue from; what a run left is moved aside', async () => {
  folder.edit('case.json', (config) => {
    config.training.max_steps = 1;
  });
  const train = () => run('train', folder.path('case.json'), '--out', folder.path('out'));
  expect((await train()).exitCode).toBe(0);
  const [log, adapter] = ['out/log.jsonl', 'out/adapter/adapter_model.safetensors'].map((file) => folder.read(file));
  folder.edit('case.json', (config) => {
    config.initial_adapter = 'out/adapter';
    config.training.learning_rate = 0;
  });
  const { exitCode, stderr } = await train();
  expect(stderr).toMatch(/moved what an earlier run left .* to .*previous-1/);
  expect(exitCode).toBe(0);
  expect(folder.read('out/previous-1/log.jsonl')).toEqual(log);
  expect(folder.read('out/adapter/adapter_model.safetensors')).toEqual(adapter);
});
