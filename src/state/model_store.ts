/** The model: looked at, being loaded, loaded. */
import { create } from 'zustand';
import type { QuantizationConfig } from '../formats/run_config.ts';
import type { MemoryCategory } from '../worker/protocol.ts';
import type { FileProgress, ModelInfo, ModelLocation } from '../worker/studio_protocol.ts';
import { meetHosts, meetHub } from './hosts_store.ts';
import { RateMeter } from './rate.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

export interface Failure {
  readonly name: string;
  readonly message: string;
}

export type Inspection =
  | { readonly status: 'none' }
  | { readonly status: 'running'; readonly location: ModelLocation }
  | { readonly status: 'ready'; readonly location: ModelLocation; readonly info: ModelInfo }
  | { readonly status: 'failed'; readonly location: ModelLocation; readonly failure: Failure };

export interface LoadProgress {
  readonly loadedBytes: number;
  readonly totalBytes: number;
  readonly tensor: string;
  readonly files: readonly FileProgress[];
  readonly bytesPerSecond: number | null;
  readonly secondsLeft: number | null;
}

export interface Retry {
  readonly attempt: number;
  readonly reason: string;
  /** When the next try begins, in milliseconds of performance.now(). */
  readonly at: number;
}

export interface Loading {
  readonly quantization: QuantizationConfig;
  readonly status: 'running' | 'pausing' | 'paused' | 'resuming' | 'cancelling' | 'failed';
  readonly runId: string;
  readonly location: ModelLocation;
  readonly info: ModelInfo;
  readonly progress: LoadProgress | null;
  readonly retry: Retry | null;
  readonly failure: Failure | null;
}

export interface LoadedModel {
  readonly location: ModelLocation;
  readonly info: ModelInfo;
  readonly memory: Readonly<Record<MemoryCategory, number>>;
  /** Layers that have a place on the GPU; the others are streamed. */
  readonly layers: { readonly count: number; readonly of: number };
  /** Why it is not in the cache, where it should be. */
  readonly notKept: string | null;
}

interface ModelState {
  readonly inspection: Inspection;
  readonly inspectRunId: string;
  readonly loading: Loading | null;
  readonly loaded: LoadedModel | null;
}

export const useModel = create<ModelState>()(() => ({
  inspection: { status: 'none' },
  inspectRunId: '',
  loading: null,
  loaded: null,
}));

const meter = new RateMeter();

export function inspectModel(location: ModelLocation): void {
  const runId = studioClient.newRunId('inspect-model');
  useModel.setState({ inspection: { status: 'running', location }, inspectRunId: runId });
  if (location.kind === 'hub') meetHub();
  studioClient.send({ type: 'inspect-model', runId, location });
}

export function inspectHubModel(id: string, revision = 'main'): void {
  inspectModel({ kind: 'hub', id, revision });
}

export function closeInspection(): void {
  useModel.setState({ inspection: { status: 'none' }, inspectRunId: '' });
}

/** The device was lost, and the weights with it. */
export function forgetModel(): void {
  useModel.setState({ loaded: null });
}

/** Loads what was inspected; the model before it is freed by the worker. */
export function loadModel(location: ModelLocation, info: ModelInfo, quantization: QuantizationConfig): void {
  const runId = studioClient.newRunId('load-model');
  meter.reset();
  // The commit that was looked at is the one that is loaded.
  const pinned = location.kind === 'hub' && info.commit ? { ...location, revision: info.commit } : location;
  useModel.setState({
    loaded: null,
    loading: { status: 'running', runId, location, info, quantization, progress: null, retry: null, failure: null },
  });
  studioClient.send({ type: 'load-model', runId, location: pinned, quantization });
}

export function pauseLoading(): void {
  const { loading } = useModel.getState();
  if (loading?.status !== 'running') return;
  change({ status: 'pausing' });
  studioClient.send({ type: 'pause', runId: loading.runId });
}

export function resumeLoading(): void {
  const { loading } = useModel.getState();
  if (loading?.status !== 'paused') return;
  meter.reset();
  change({ status: 'resuming', retry: null });
  studioClient.send({ type: 'resume', runId: loading.runId });
}

/** The load is over when the worker says so: until then the GPU is not free for another. */
export function cancelLoading(): void {
  const { loading } = useModel.getState();
  if (!loading || loading.status === 'cancelling') return;
  if (loading.status === 'failed') {
    useModel.setState({ loading: null });
    return;
  }
  change({ status: 'cancelling', retry: null });
  studioClient.send({ type: 'stop', runId: loading.runId });
}

export function receiveForModel(signal: StudioSignal): void {
  if (signal.type === 'crashed') {
    useModel.setState({ inspection: { status: 'none' }, loading: null, loaded: null });
    return;
  }
  const { inspectRunId, loading } = useModel.getState();
  if (signal.runId === inspectRunId) receiveInspection(signal);
  else if (loading && signal.runId === loading.runId) receiveLoading(signal, loading);
}

function receiveInspection(signal: StudioSignal): void {
  const { inspection } = useModel.getState();
  if (inspection.status === 'none') return;
  const { location } = inspection;
  if (signal.type === 'model-info') useModel.setState({ inspection: { status: 'ready', location, info: signal.info } });
  else if (signal.type === 'failed') {
    useModel.setState({ inspection: { status: 'failed', location, failure: failureOf(signal) } });
  }
}

function receiveLoading(signal: StudioSignal, loading: Loading): void {
  switch (signal.type) {
    case 'model-progress': {
      const { loadedBytes, totalBytes, tensor, files } = signal;
      meter.add(loadedBytes, performance.now());
      const bytesPerSecond = meter.perSecond();
      const secondsLeft = meter.secondsLeft(totalBytes);
      change({ progress: { loadedBytes, totalBytes, tensor, files, bytesPerSecond, secondsLeft }, retry: null });
      meetHosts(signal.hosts);
      break;
    }
    case 'retrying':
      meter.reset();
      change({
        retry: { attempt: signal.attempt, reason: signal.reason, at: performance.now() + signal.seconds * 1000 },
      });
      break;
    case 'paused':
      if (loading.status !== 'cancelling') change({ status: 'paused', retry: null });
      break;
    case 'resumed':
      if (loading.status !== 'cancelling') change({ status: 'running' });
      break;
    case 'model-ready': {
      const { location } = loading;
      const { info, memory, layers, notKept } = signal;
      useModel.setState({
        loading: null,
        loaded: { location, info, memory, layers, notKept },
        inspection: { status: 'none' },
      });
      break;
    }
    case 'failed':
      if (loading.status === 'cancelling') useModel.setState({ loading: null });
      else change({ status: 'failed', failure: failureOf(signal), retry: null });
      break;
    default:
      break;
  }
}

function change(part: Partial<Loading>): void {
  useModel.setState(({ loading }) => ({ loading: loading && { ...loading, ...part } }));
}

function failureOf({ name, message }: Failure): Failure {
  return { name, message };
}
