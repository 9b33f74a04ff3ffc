/** A run that was killed goes on where its checkpoint was, and ends as if nothing had been: to the bit. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NO_DAWN, RunFolder, run, start } from './command_line.ts';

/** Seven kills, each a process of its own. */
const LONG = { timeout: process.env.NIBBLE_FULL ? 900_000 : 180_000 };
const STEPS = process.env.NIBBLE_FULL ? 60 : 12;

let folder: RunFolder;

beforeEach(() => {
  folder = new RunFolder();
  folder.edit('case.json', (config) => {
    config.training.max_steps = STEPS;
    config.training.save_steps = 3;
    // A schedule, dropout and an order of the data that depend on the step.
    config.training.lr_scheduler_type = 'cosine';
    config.training.train_sampling_strategy = 'random';
    config.lora.lora_dropout = 0.1;
  });
});
afterEach(() => folder.dispose());

const lines = (out: string): string[] => {
  const file = folder.path(`${out}/log.jsonl`);
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
};

const train = (runtime: string, out: string, ...words: string[]) =>
  start('train', folder.path('case.json'), '--out', folder.path(out), '--runtime', runtime, ...words);

async function until(condition: () => boolean, seconds: number): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const records = () => folder.path('killed/checkpoint/records');

/** Numbers of the checkpoints that are whole; at most two are kept. */
const wholeCheckpoints = (): number[] =>
  existsSync(records())
    ? readdirSync(records()).flatMap((file) => Number(/^complete-(\d+)/.exec(file)?.[1]) || [])
    : [];

/**
 * Trains until at least `steps` are logged and so many checkpoints are whole, then ends the process where it stands: they are
 * written while it trains, and before the first there is nothing to resume.
 */
async function killAfter(steps: number, checkpoints: number, runtime: string, ...words: string[]): Promise<void> {
  const { child, outcome } = train(runtime, 'killed', ...words);
  const far = () => lines('killed').length >= steps && wholeCheckpoints().length >= checkpoints;
  await until(() => far() || child.exitCode !== null, 90);
  child.kill('SIGKILL');
  await outcome;
}

it.for(process.env.NIBBLE_FULL ? ['node', 'chromium'] : ['chromium'])(
  'killed and resumed, the same bits as without (%s)',
  LONG,
  async (runtime, context) => {
    const whole = await train(runtime, 'whole').outcome;
    context.skip(whole.stderr.includes('NoGpuError'), NO_DAWN);
    expect(whole.exitCode, whole.stderr).toBe(0);
    expect(lines('whole')).toHaveLength(STEPS);
    // The places are random, new each time; a browser takes longer to start.
    const kills = runtime === 'chromium' ? 1 : 7;
    const places = Array.from({ length: kills }, () => Math.floor(Math.random() * (STEPS - 6)) + 2);
    let first = true;
    for (const place of places.sort((a, b) => a - b)) {
      await killAfter(place, 1, runtime, ...(first ? [] : ['--resume']));
      first = false;
    }
    const { exitCode, stderr } = await train(runtime, 'killed', '--resume').outcome;
    expect(exitCode, stderr).toBe(0);
    expect(Number(/resumed from step (\d+)/.exec(stderr)?.[1]), `killed after ${places}`).toBeGreaterThan(0);
    expect(lines('killed'), `killed after ${places}`).toEqual(lines('whole'));
    const adapter = 'adapter/adapter_model.safetensors';
    expect(folder.read(`killed/${adapter}`).equals(folder.read(`whole/${adapter}`))).toBe(true);
  },
);

it('one byte changed on the disk: one checkpoint back, and the same end', async (context) => {
  folder.edit('case.json', (config) => {
    config.training.max_steps = 10;
  });
  const whole = await train('node', 'whole').outcome;
  context.skip(whole.stderr.includes('NoGpuError'), NO_DAWN);
  await killAfter(7, 2, 'node');
  const newest = JSON.parse(readFileSync(`${records()}/generation-${Math.max(...wholeCheckpoints())}.json`, 'utf8'));
  const pages = folder.path('killed/checkpoint/pages');
  const bytes = readFileSync(pages);
  bytes[newest.pages[1].at + 1234] ^= 4;
  writeFileSync(pages, bytes);
  const { exitCode, stderr } = await train('node', 'killed', '--resume').outcome;
  expect(stderr).toContain(`The checkpoint of step ${newest.step} is damaged`);
  expect(stderr).toContain(`resumed from step ${newest.step - 3}`);
  expect(exitCode).toBe(0);
  expect(lines('killed')).toEqual(lines('whole'));
});

it('says what was changed when a checkpoint does not fit, and when there is none', async (context) => {
  folder.edit('case.json', (config) => {
    config.training.max_steps = 2;
  });
  const missing = await run('train', folder.path('case.json'), '--out', folder.path('none'), '--resume');
  expect(missing.stderr).toMatch(/^CheckpointLostError: There is no checkpoint in /m);
  const first = await train('node', 'out').outcome;
  context.skip(first.stderr.includes('NoGpuError'), NO_DAWN);
  expect(first.exitCode, first.stderr).toBe(0);
  folder.edit('case.json', (config) => {
    config.training.learning_rate = 0.5;
  });
  const changed = await train('node', 'out', '--resume').outcome;
  expect(changed.stderr).toMatch(/^CheckpointMismatchError: .*its training\.learning_rate is .*, not 0\.5/m);
  expect(changed.exitCode).toBe(1);
  expect(lines('out')).toHaveLength(2);
});
