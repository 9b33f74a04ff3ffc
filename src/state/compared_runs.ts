/** Runs that are laid over each other: which ones were chosen, their curves on common steps, and where their settings differ. */
import { create } from 'zustand';
import type { RunSummary } from '../worker/studio_protocol.ts';

/** As many as there are colours to tell them apart by. */
export const MOST_COMPARED = 6;

interface ComparedState {
  /** Ids of runs, in the order they were chosen: a run keeps its colour while others come and go. */
  readonly chosen: readonly (string | null)[];
}

export const useCompared = create<ComparedState>()(() => ({ chosen: [] }));

/** A run that was chosen no longer is; another takes the first free place. Nothing happens where there is none. */
export function toggleCompared(id: string): void {
  useCompared.setState(({ chosen }) => {
    const at = chosen.indexOf(id);
    if (at >= 0) return { chosen: chosen.with(at, null) };
    const free = chosen.indexOf(null);
    if (free >= 0) return { chosen: chosen.with(free, id) };
    return chosen.length < MOST_COMPARED ? { chosen: [...chosen, id] } : {};
  });
}

export const clearCompared = (): void => useCompared.setState({ chosen: [] });

/** A run that has a curve and is not being trained. */
export const isComparable = ({ losses, open }: Pick<RunSummary, 'losses' | 'open'>): boolean =>
  losses.length > 0 && !open;

type Curve = Pick<RunSummary, 'losses' | 'checkpointStep'>;

/** The last step of each stretch that a point is the mean of (sparkline, run_manifest.ts). */
export const curveSteps = ({ losses, checkpointStep }: Curve): number[] =>
  losses.map((_, i) => Math.max(1, Math.floor(((i + 1) * checkpointStep) / losses.length)));

/** All steps that any curve has a point at, ascending, and a column for each curve: null where it has none. */
export function overlay(curves: readonly Curve[]): { steps: number[]; values: (number | null)[][] } {
  const points = curves.map((curve) => new Map(curveSteps(curve).map((step, i) => [step, curve.losses[i]!])));
  const steps = [...new Set(points.flatMap((curve) => [...curve.keys()]))].sort((a, b) => a - b);
  return { steps, values: points.map((curve) => steps.map((step) => curve.get(step) ?? null)) };
}

export interface Difference {
  /** The setting's name, as in TRL and PEFT. */
  readonly name: string;
  /** Of each run. */
  readonly values: readonly string[];
}

/** Settings in which the runs are not all alike. */
export function differences(runs: readonly Pick<RunSummary, 'model' | 'request'>[]): Difference[] {
  const settings = runs.map(({ model, request }) => ({
    model: model.name,
    ...request.lora,
    ...request.training,
    ...request.quantization,
  }));
  const names = [...new Set(settings.flatMap((one) => Object.keys(one)))];
  return names
    .map((name) => ({ name, values: settings.map((one) => shown((one as Record<string, unknown>)[name])) }))
    .filter(({ values }) => new Set(values).size > 1);
}

const shown = (value: unknown): string => {
  if (value === undefined || value === null) return '–';
  if (Array.isArray(value)) return value.join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
};
