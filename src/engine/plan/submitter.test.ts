import { expect, test } from 'vitest';
import type { Gpu } from '../device/gpu.ts';
import { Pacing } from './pacing.ts';
import type { EncodedDispatch } from './profile.ts';
import { Submitter } from './submitter.ts';

/** A device that counts the dispatches of each submit. */
function countingGpu() {
  const submits: number[] = [];
  let dispatches = 0;
  const pass = { setPipeline() {}, setBindGroup() {}, dispatchWorkgroups: () => dispatches++, end() {} };
  const device = {
    createCommandEncoder: () => ({ beginComputePass: () => pass, finish: () => ({}) }),
    queue: {
      submit() {
        submits.push(dispatches);
        dispatches = 0;
      },
      onSubmittedWorkDone: async () => {},
    },
  };
  return { gpu: { device, pacing: new Pacing() } as unknown as Gpu, submits };
}

const DISPATCH = { size: [1, 1, 1], part: null } as unknown as EncodedDispatch;

function submitted(count: number, ms: number): number[] {
  const { gpu, submits } = countingGpu();
  const submitter = new Submitter(gpu);
  for (let i = 0; i < count; i++) submitter.add(DISPATCH, 'kernel', ms);
  submitter.flush();
  return submits;
}

test('the first submit is short, so that the GPU begins while the rest is encoded', () => {
  expect(submitted(400, 0.01)).toEqual([32, 128, 240]);
  expect(submitted(20, 0.01)).toEqual([20]);
});

test('no submit is expected to take longer than 200 ms', () => {
  expect(submitted(7, 90)).toEqual([2, 2, 2, 1]);
});
