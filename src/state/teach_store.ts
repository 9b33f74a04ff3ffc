/** What the view of what is happening shows: a linear's weights on their sixteen levels, and how far the adapter moves each layer. */
import { create } from 'zustand';
import type { WeightFigures } from '../worker/studio_protocol.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

export interface LayerNorms {
  readonly step: number;
  /** ‖B·A‖ of each layer. */
  readonly norms: readonly number[];
}

interface TeachState {
  readonly layer: number;
  /** Path in the layer. */
  readonly linear: string;
  readonly runId: string;
  readonly weights: WeightFigures | null;
  readonly failure: string | null;
  /** Of the run that `trained` names, in the order of the steps. */
  readonly norms: readonly LayerNorms[];
  readonly trained: string;
}

export const useTeach = create<TeachState>()(() => ({
  layer: 0,
  linear: '',
  runId: '',
  weights: null,
  failure: null,
  norms: [],
  trained: '',
}));

/** Asks for a linear of the loaded model; `linear` is its path in the layer. */
export function showWeights(layer: number, linear: string): void {
  const runId = studioClient.newRunId('show-weights');
  useTeach.setState({ layer, linear, runId, failure: null });
  studioClient.send({ type: 'show-weights', runId, layer, linear });
}

export function receiveForTeach(signal: StudioSignal): void {
  if (signal.type === 'crashed') {
    useTeach.setState({ weights: null, runId: '' });
    return;
  }
  if (signal.type === 'adapter-norms') {
    const { norms, trained } = useTeach.getState();
    const before = signal.runId === trained ? norms : [];
    const told = { step: signal.step, norms: signal.norms };
    useTeach.setState({ trained: signal.runId, norms: [...before.filter(({ step }) => step < told.step), told] });
    return;
  }
  const { runId } = useTeach.getState();
  if (!('runId' in signal) || signal.runId !== runId) return;
  if (signal.type === 'weights') useTeach.setState({ weights: signal.figures });
  else if (signal.type === 'failed') useTeach.setState({ weights: null, failure: signal.message });
}
