import { beforeEach, describe, expect, it } from 'vitest';
import { sparkline } from '../storage/run_manifest.ts';
import {
  clearCompared,
  curveSteps,
  differences,
  isComparable,
  MOST_COMPARED,
  overlay,
  toggleCompared,
  useCompared,
} from './compared_runs.ts';
import { fakeStorage } from './testing/fake_storage.ts';

beforeEach(clearCompared);

const { runs } = fakeStorage(new Set());

describe('what is chosen', () => {
  it('keeps its place while others go, and gives free places to those that come', () => {
    for (const id of ['a', 'b', 'c', 'b']) toggleCompared(id);
    expect(useCompared.getState().chosen).toEqual(['a', null, 'c']);
    toggleCompared('d');
    expect(useCompared.getState().chosen).toEqual(['a', 'd', 'c']);
  });

  it('is never more than there are colours for', () => {
    for (let i = 0; i <= MOST_COMPARED; i++) toggleCompared(`${i}`);
    expect(useCompared.getState().chosen).toEqual(['0', '1', '2', '3', '4', '5']);
  });

  it('is a run with a curve that no tab trains', () => {
    expect(isComparable({ losses: [2], open: false })).toBe(true);
    expect(isComparable({ losses: [], open: false })).toBe(false);
    expect(isComparable({ losses: [2], open: true })).toBe(false);
  });
});

describe('overlay', () => {
  it('puts each point at the last step of its stretch, as the stored curve was made', () => {
    const losses = Array.from({ length: 100 }, (_, i) => i + 1);
    const curve = { losses: sparkline(losses, 30), checkpointStep: losses.length };
    const steps = curveSteps(curve);
    expect(steps).toHaveLength(30);
    steps.forEach((step, i) => {
      const stretch = losses.slice(steps[i - 1] ?? 0, step);
      expect(curve.losses[i]).toBeCloseTo(stretch.reduce((a, b) => a + b) / stretch.length, 9);
    });
    expect(steps.at(-1)).toBe(100);
  });

  it('lays curves of different lengths on common steps', () => {
    const short = { losses: [3, 2], checkpointStep: 4 };
    const long = { losses: [5, 4, 3], checkpointStep: 6 };
    expect(overlay([short, long])).toEqual({
      steps: [2, 4, 6],
      values: [
        [3, 2, null],
        [5, 4, 3],
      ],
    });
    expect(overlay([])).toEqual({ steps: [], values: [] });
  });
});

describe('differences', () => {
  it('names the settings that are not alike, and no others', () => {
    const [, first, second] = runs;
    const changed = {
      ...second!.request,
      lora: { ...second!.request.lora, r: 64, target_modules: ['q_proj', 'v_proj'] },
    };
    expect(differences([first!, { ...second!, request: changed }])).toEqual([
      { name: 'r', values: [String(first!.request.lora.r), '64'] },
      { name: 'target_modules', values: [String(first!.request.lora.target_modules), 'q_proj, v_proj'] },
    ]);
    expect(differences([first!, second!])).toEqual([]);
  });
});
