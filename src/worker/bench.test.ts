import { expect, it } from 'vitest';
import { checkCheckpoint } from '../formats/check_checkpoint.ts';
import { selectBenches } from './bench_kernels.ts';
import { BENCH_MODELS, benchModel, multipliedParameters, syntheticWeights } from './bench_models.ts';
import type { BenchRequest } from './bench_report.ts';
import { attentionShare, randomRows, sumProfiles, trainingShapes } from './bench_train.ts';

const REQUEST: BenchRequest = {
  kinds: ['train'],
  size: null,
  only: null,
  variant: {},
  samples: 7,
  models: null,
  batches: null,
  checkpointing: null,
  keepLayers: null,
  activationMib: null,
  steps: 8,
  tune: false,
  precision: null,
  rank: 16,
  targetModules: 'all-linear',
  sweep: false,
  paging: { accumulations: null, gpu: null, tiers: null },
  peakTflops: null,
};

it.each(BENCH_MODELS)('%s has made-up weights for every tensor', async (name) => {
  const spec = benchModel(name);
  const source = syntheticWeights(spec, 1);
  checkCheckpoint(spec, source);
  const { embedding, finalNorm } = spec.tensors;
  const piece = await source.read(embedding, 64, 192);
  expect(piece).toHaveLength(128);
  expect(piece.byteOffset % 4).toBe(0);
  expect(new Uint16Array((await source.read(finalNorm, 0, 8)).buffer)).toEqual(new Uint16Array(4).fill(0x3f80));
});

it('counts the parameters of the published models', () => {
  expect(multipliedParameters(benchModel('SmolLM2-135M')) / 1e6).toBeCloseTo(134.5, 1);
  expect(multipliedParameters(benchModel('Llama-3.2-1B')) / 1e9).toBeCloseTo(1.236, 2);
  expect(() => benchModel('gpt-2')).toThrow(RangeError);
});

it('trains the peer’s shapes by default, a tiny one where a CPU plays the GPU, lengths in a sweep', () => {
  const full = trainingShapes(REQUEST, 'full');
  expect([...full.keys()]).toEqual(['SmolLM2-135M', 'SmolLM2-360M', 'Llama-3.2-1B']);
  expect(full.get('SmolLM2-360M')).toEqual([
    { rows: 4, length: 512, checkpointing: false, keep: null },
    { rows: 4, length: 512, checkpointing: true, keep: null },
  ]);
  expect([...trainingShapes(REQUEST, 'small').keys()]).toEqual(['tiny']);
  const sweep = trainingShapes({ ...REQUEST, sweep: true }, 'full').get('SmolLM2-135M');
  expect(sweep?.map(({ length }) => length)).toEqual([512, 1024, 2048, 4096, 8192]);
  const asked = { ...REQUEST, models: ['tiny'], batches: [{ rows: 3, length: 7 }], checkpointing: [true] };
  expect([...trainingShapes(asked, 'full')]).toEqual([
    ['tiny', [{ rows: 3, length: 7, checkpointing: true, keep: null }]],
  ]);
  const some = trainingShapes({ ...asked, checkpointing: null, keepLayers: 1 }, 'full').get('tiny');
  expect(some).toEqual([{ rows: 3, length: 7, checkpointing: false, keep: { layers: 1 } }]);
});

it('makes rows that are documents of their own, trained everywhere', () => {
  const batch = randomRows(2, 3, 50, 1);
  expect([...batch.positions]).toEqual([0, 1, 2, 0, 1, 2]);
  expect([...batch.documents]).toEqual([0, 3, 0, 3, 0, 3, 3, 6, 3, 6, 3, 6]);
  expect([...batch.targets].slice(0, 2)).toEqual([...batch.ids].slice(1, 3));
  expect(batch.targets.every((target) => target >= 0 && target < 50)).toBe(true);
  expect(batch.trainedTokens).toBe(6);
});

it('sums profiles by kernel and group', () => {
  const kernel = (name: string) => ({ name, shader: '', bindings: {}, params: {}, constants: {} });
  const profile = [
    { kernel: kernel('adamw'), flops: 0, milliseconds: 1, longest: 1 },
    { kernel: kernel('attention_forward'), flops: 3e9, milliseconds: 2, longest: 2 },
    { kernel: kernel('attention_forward'), flops: 3e9, milliseconds: 1, longest: 1 },
  ];
  const { groups, kernels, profiledMs, longestDispatch } = sumProfiles([profile, profile]);
  expect(longestDispatch).toEqual({ kernel: 'attention_forward', ms: 2 });
  expect(profiledMs).toBe(4);
  expect(groups).toEqual([
    { group: 'attention', ms: 3, share: 0.75, dispatches: 2 },
    { group: 'optimizer', ms: 1, share: 0.25, dispatches: 1 },
  ]);
  expect(kernels[0]).toEqual({ kernel: 'attention_forward', group: 'attention', ms: 3, dispatches: 2, tflops: 2 });
});

it('computes attention’s share of a step', () => {
  const spec = benchModel('SmolLM2-135M');
  // 7 products of 9·64·T² a layer against 4·N·T.
  const product = 576 * 512 * 30;
  expect(attentionShare(spec, 4, 512, 30)).toBeCloseTo((7 * product) / (7 * product + 4 * 134.5e6), 3);
  expect(attentionShare(spec, 1, 8192, 30)).toBeGreaterThan(0.6);
  expect(attentionShare(spec, 1, 8192, 0)).toBeGreaterThan(0.6);
});

it('selects benches by a part of their name', () => {
  expect(selectBenches('small', ['rms_norm 64']).map(({ name }) => name)).toEqual(['rms_norm 64×64']);
  expect(() => selectBenches('small', ['nothing'])).toThrow(/No small kernel bench has nothing in its name/);
});
