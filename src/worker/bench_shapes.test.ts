import { expect, it } from 'vitest';
import type { ModelLine } from './bench_report.ts';
import { checkLine, ModelShapeError } from './bench_shapes.ts';

const LINE: ModelLine = {
  model: 'tiny',
  parameters: 131_392,
  rows: 1,
  length: 64,
  checkpointing: true,
  precision: 'f32',
  stored: 'f32',
  loadSeconds: 0.3,
  loadPeakBytes: 2e5,
  createSeconds: 1,
  stepMs: [300, 200, 200],
  losses: [6.235, 6.229, 6.223],
  gradNorms: [0.5, 0.5, 0.5],
  measured: { weights: 100, activations: 104 },
  predicted: { weights: 100, activations: 100 },
  measuredBytes: 204,
  predictedBytes: 200,
};

it('takes a line whose losses fall and whose memory was foreseen', () => {
  expect(() => checkLine(LINE)).not.toThrow();
});

it.each([
  [{ losses: [6.2, Number.NaN, 6.1] }, /losses 6.2, NaN, 6.1, .*: not all are finite/],
  [{ gradNorms: [0.5, Number.POSITIVE_INFINITY, 0.5] }, /gradient norms 0.5, Infinity, 0.5: not all are finite/],
  [{ losses: [6.2, 6.1, 6.2] }, /do not fall/],
  [{ losses: [6.2, 6.1] }, /do not fall/],
  [{ measuredBytes: 211 }, /211 bytes allocated, 200 predicted/],
  [{ measuredBytes: 189 }, /189 bytes allocated, 200 predicted/],
])('refuses %j', (wrong, message) => {
  expect(() => checkLine({ ...LINE, ...wrong })).toThrow(ModelShapeError);
  expect(() => checkLine({ ...LINE, ...wrong })).toThrow(message);
});
