/** The memory and disk that a run would take with the settings as they are, predicted by the worker. */
import { create } from 'zustand';
import type { MemoryCategory } from '../worker/protocol.ts';
import type { MemoryRemedy, PredictedDisk, PredictedModel, TrainRequest } from '../worker/studio_protocol.ts';
import type { Failure } from './model_store.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

export interface Prediction {
  readonly bytes: Readonly<Record<MemoryCategory, number>>;
  /** Layers that keep their activations, of how many. */
  readonly kept: { readonly layers: number; readonly of: number };
  /** Host memory for what leaves the GPU. */
  readonly hostBytes: number;
  readonly disk: PredictedDisk;
  readonly remedy: MemoryRemedy | null;
}

interface PredictionState {
  readonly runId: string;
  readonly of: PredictedModel;
  /** The last answer; null before the first, and where there is none. */
  readonly prediction: Prediction | null;
  /** Why a run cannot be made with these settings. */
  readonly problem: Failure | null;
}

const NONE: PredictionState = { runId: '', of: 'loaded', prediction: null, problem: null };

export const usePrediction = create<PredictionState>()(() => NONE);

/** The last answer stays until the next one comes, unless it was for another model. */
export function predict(of: PredictedModel, { quantization, lora, training, samples = null }: TrainRequest): void {
  const runId = studioClient.newRunId('predict');
  const before = usePrediction.getState();
  usePrediction.setState(before.of === of ? { runId } : { ...NONE, runId, of });
  studioClient.send({ type: 'predict', runId, of, quantization, lora, training, samples });
}

export function forgetPrediction(): void {
  usePrediction.setState(NONE);
}

export function receiveForPrediction(signal: StudioSignal): void {
  if (signal.type === 'crashed') {
    forgetPrediction();
    return;
  }
  if (signal.runId !== usePrediction.getState().runId) return;
  if (signal.type === 'prediction') {
    const { bytes, kept, hostBytes, disk, remedy } = signal;
    usePrediction.setState({ prediction: { bytes, kept, hostBytes, disk, remedy }, problem: null });
  } else if (signal.type === 'failed') {
    const { name, message } = signal;
    usePrediction.setState({ prediction: null, problem: { name, message } });
  }
}
