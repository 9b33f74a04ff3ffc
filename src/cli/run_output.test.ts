import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { StepRecord } from '../worker/protocol.ts';
import { RunOutput } from './run_output.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'nibble-output-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const record = (step: number): StepRecord => {
  return { step, loss: 1 / step, grad_norm: 1, learning_rate: 1e-3, num_tokens: 10, mean_token_accuracy: 0.5 };
};
const sample = (step: number) => ({ step, prompt: 'Once', text: `text ${step}\nnext` });
const lines = (file: string) => {
  const text = readFileSync(file, 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
};

/** Three steps logged, samples before the first and after the second. */
function trained(): RunOutput {
  const output = new RunOutput(directory);
  output.start();
  output.samples([sample(0)]);
  for (const step of [1, 2, 3]) output.log(record(step));
  output.samples([sample(2)]);
  return output;
}

test('what an earlier run left is moved aside, samples too', () => {
  trained();
  const again = new RunOutput(directory);
  expect(again.start()).toBe(path.join(directory, 'previous-1'));
  expect(lines(path.join(directory, 'previous-1/samples.jsonl'))).toEqual([sample(0), sample(2)]);
  expect(readFileSync(again.logFile, 'utf8')).toBe('');
  expect(existsSync(again.samplesFile)).toBe(false);
});

test('a run that goes on keeps the samples from before its checkpoint, and makes that step’s own again', () => {
  const { samplesFile } = trained();
  // Killed while a line was written.
  writeFileSync(samplesFile, `${readFileSync(samplesFile, 'utf8')}{"step":2,"pro`);
  const again = new RunOutput(directory);
  again.resume(2, [record(1), record(2)]);
  expect(lines(again.logFile)).toEqual([record(1), record(2)]);
  expect(lines(again.samplesFile)).toEqual([sample(0)]);
  again.samples([sample(2)]);
  expect(lines(again.samplesFile)).toEqual([sample(0), sample(2)]);
  expect(readdirSync(directory).sort()).toEqual(['log.jsonl', 'samples.jsonl']);
});

test('without samples there is no file of them', () => {
  const output = new RunOutput(directory);
  output.start();
  new RunOutput(directory).resume(0, []);
  expect(readdirSync(directory)).toEqual(['log.jsonl']);
});
