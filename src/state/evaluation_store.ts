/** Questions of a held-out file, answered by base and tuned model. */
import { create } from 'zustand';
import type { EvaluationResult, TryAdapter } from '../worker/studio_protocol.ts';
import type { Failure } from './model_store.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

interface EvaluationState {
  readonly status: 'none' | 'running' | 'stopping' | 'done' | 'failed';
  readonly runId: string;
  readonly file: string;
  readonly done: number;
  readonly total: number;
  /** Rows asked at most, as typed. */
  readonly limit: string;
  readonly result: EvaluationResult | null;
  readonly failure: Failure | null;
}

const NONE: EvaluationState = {
  status: 'none',
  runId: '',
  file: '',
  done: 0,
  total: 0,
  limit: '200',
  result: null,
  failure: null,
};

export const useEvaluation = create<EvaluationState>()(() => NONE);

export const isEvaluating = ({ status }: Pick<EvaluationState, 'status'>): boolean =>
  status === 'running' || status === 'stopping';

export function setLimit(limit: string): void {
  useEvaluation.setState({ limit });
}

/** Null where it is no number of rows. */
export function parseLimit(text: string): number | null {
  return /^[1-9]\d{0,6}$/.test(text.trim()) ? Number(text) : null;
}

export function evaluateFiles(files: readonly File[], adapter: TryAdapter): void {
  const state = useEvaluation.getState();
  const limit = parseLimit(state.limit);
  const [first] = files;
  if (isEvaluating(state) || limit === null || !first) return;
  const runId = studioClient.newRunId('evaluate');
  useEvaluation.setState({ ...NONE, limit: state.limit, status: 'running', runId, file: first.name });
  studioClient.send({ type: 'evaluate', runId, files, limit, adapter });
}

export function stopEvaluation(): void {
  const { status, runId } = useEvaluation.getState();
  if (status !== 'running') return;
  useEvaluation.setState({ status: 'stopping' });
  studioClient.send({ type: 'stop', runId });
}

export function receiveForEvaluation(signal: StudioSignal): void {
  const state = useEvaluation.getState();
  if (!isEvaluating(state)) return;
  if (signal.type === 'crashed') {
    useEvaluation.setState({ status: 'failed', failure: { name: 'WorkerError', message: signal.message } });
    return;
  }
  if (!('runId' in signal) || signal.runId !== state.runId) return;
  if (signal.type === 'evaluate-progress') useEvaluation.setState({ done: signal.done, total: signal.total });
  else if (signal.type === 'evaluated') useEvaluation.setState({ status: 'done', result: signal.result });
  else if (signal.type === 'failed') {
    useEvaluation.setState({ status: 'failed', failure: { name: signal.name, message: signal.message } });
  }
}

/** Another model: the old one's figures would be taken for its own. */
export function forgetEvaluation(): void {
  useEvaluation.setState(({ limit }) => ({ ...NONE, limit }));
}
