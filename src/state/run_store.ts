/** The training run. Steps arrive faster than a screen can show them: they are collected and told ten times a second. */
import { create } from 'zustand';
import type { AdapterFile, KeptActivations, MemoryCategory, PagingRates, StepRecord } from '../worker/protocol.ts';
import type {
  ModelInfo,
  PrecisionChoice,
  PreparingStage,
  RunSummary,
  StudioEvent,
  TrainRequest,
} from '../worker/studio_protocol.ts';
import { batched } from './batched.ts';
import type { Failure } from './model_store.ts';
import { StepSeries } from './step_series.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

export type RunStatus =
  | 'none'
  | 'starting'
  | 'training'
  | 'pausing'
  | 'paused'
  | 'resuming'
  | 'stopping'
  | 'finished'
  | 'failed';

const SAME_TIME_MS = 50;

const ACTIVE: readonly RunStatus[] = ['starting', 'training', 'pausing', 'paused', 'resuming', 'stopping'];

/** What a run trained, and from what. */
export interface TrainedAdapter {
  readonly name: string;
  readonly model: ModelInfo;
  readonly request: TrainRequest;
  readonly steps: number;
  readonly finalLoss: number | null;
  readonly finalEvalLoss: number | null;
  readonly outcome: 'finished' | 'stopped' | 'failed';
  /** Where it is not the last one: the step that the adapter is of, and its validation loss. */
  readonly kept: { readonly step: number; readonly loss: number } | null;
  readonly files: readonly AdapterFile[];
}

export interface Sample {
  readonly step: number;
  /** In the order of the prompts. */
  readonly texts: readonly string[];
}

interface RunState {
  readonly status: RunStatus;
  readonly runId: string;
  readonly request: TrainRequest | null;
  readonly model: ModelInfo | null;
  readonly totalSteps: number;
  readonly series: StepSeries;
  /** Grows with every flush: the series itself stays the same object. */
  readonly version: number;
  /** Grows too when an evaluation comes after its step was shown. */
  readonly evaluations: number;
  readonly latest: StepRecord | null;
  readonly tokensPerSecond: number;
  readonly latestEval: { readonly step: number; readonly loss: number } | null;
  /** While the status is `starting`. */
  readonly stage: PreparingStage;
  /** Told where the GPU offered f16. */
  readonly precision: PrecisionChoice | null;
  readonly memory: Readonly<Record<MemoryCategory, number>> | null;
  /** The sample prompts' continuations, by the step they were made after. */
  readonly samples: readonly Sample[];
  readonly kept: KeptActivations | null;
  /** Of a paged optimizer. */
  readonly paging: PagingRates | null;
  /** Milliseconds of performance.now(): when the work was begun or gone on with, and what was done before that. */
  readonly since: number | null;
  readonly activeBefore: number;
  /** When the first steps were there: time left is told from there, without what the start took. */
  readonly anchor: { readonly step: number; readonly active: number } | null;
  readonly failure: Failure | null;
  /** What it is kept as; null while it is not. */
  readonly storedId: string | null;
  readonly checkpointStep: number | null;
  /** A checkpoint that could not be written; until one can. */
  readonly saveFailure: Failure | null;
  /** What happened to it: resumed, a lost device. */
  readonly notes: readonly string[];
}

const NONE: RunState = {
  status: 'none',
  runId: '',
  request: null,
  model: null,
  totalSteps: 0,
  series: new StepSeries(),
  version: 0,
  evaluations: 0,
  latest: null,
  tokensPerSecond: 0,
  latestEval: null,
  stage: 'compiling',
  precision: null,
  memory: null,
  samples: [],
  kept: null,
  paging: null,
  since: null,
  activeBefore: 0,
  anchor: null,
  failure: null,
  storedId: null,
  checkpointStep: null,
  saveFailure: null,
  notes: [],
};

export const useRun = create<RunState>()(() => NONE);
/** The adapter of the last run that had one; a new run leaves it until it has its own. */
export const useTrained = create<{
  trained: TrainedAdapter | null;
  /** The worker has what was trained last at hand, over the model that is loaded. */
  atHand: boolean;
}>()(() => ({ trained: null, atHand: false }));

/** The model that it was trained over is gone. */
export function forgetTuned(): void {
  useTrained.setState({ atHand: false });
}

export const isActive = (status: RunStatus): boolean => ACTIVE.includes(status);

/** Milliseconds of work, pauses left out. */
export function activeTime({ since, activeBefore }: Pick<RunState, 'since' | 'activeBefore'>, now: number): number {
  return activeBefore + (since === null ? 0 : now - since);
}

/** Milliseconds; null until later steps than the first say how long one takes. */
export function timeLeft(state: RunState, now: number): number | null {
  const { series, totalSteps, anchor } = state;
  const last = series.step.at(-1);
  if (!anchor || last === undefined || last <= anchor.step) return null;
  const each = (activeTime(state, now) - anchor.active) / (last - anchor.step);
  return Math.max(0, totalSteps - last) * each;
}

export function startTraining(request: TrainRequest, model: ModelInfo): void {
  const runId = studioClient.newRunId('train');
  useRun.setState({
    ...NONE,
    status: 'starting',
    runId,
    request,
    model,
    totalSteps: request.training.max_steps,
    series: new StepSeries(),
    since: performance.now(),
  });
  studioClient.send({ type: 'train', runId, request });
}

/** Goes on with a stored run; `maxSteps` where it is to be longer than it was. */
export function resumeStoredRun({ id, request, model, totalSteps }: RunSummary, maxSteps?: number): void {
  const runId = studioClient.newRunId('resume-run');
  useRun.setState({
    ...NONE,
    status: 'starting',
    runId,
    request: maxSteps ? { ...request, training: { ...request.training, max_steps: maxSteps } } : request,
    model,
    storedId: id,
    totalSteps: maxSteps ?? totalSteps,
    series: new StepSeries(),
    since: performance.now(),
  });
  studioClient.send({ type: 'resume-run', runId, id, ...(maxSteps !== undefined && { maxSteps }) });
}

export function pauseTraining(): void {
  const { status, runId } = useRun.getState();
  if (status !== 'training') return;
  useRun.setState({ status: 'pausing' });
  studioClient.send({ type: 'pause', runId });
}

export function resumeTraining(): void {
  const { status, runId } = useRun.getState();
  if (status !== 'paused') return;
  useRun.setState({ status: 'resuming' });
  studioClient.send({ type: 'resume', runId });
}

/** The page may end, or be put to sleep, at any moment now: what was trained since the last checkpoint is written if there is time. */
export function saveTraining(): void {
  const { status, runId } = useRun.getState();
  if (status === 'training') studioClient.send({ type: 'save', runId });
}

/** Ends the run and keeps what was trained. */
export function stopTraining(): void {
  const { status, runId } = useRun.getState();
  if (!isActive(status) || status === 'stopping') return;
  useRun.setState({ status: 'stopping' });
  studioClient.send({ type: 'stop', runId });
}

/** Back to the settings; what was trained stays in useTrained. */
export function closeRun(): void {
  if (!isActive(useRun.getState().status)) useRun.setState(NONE);
}

/** What the next flush tells. */
let pending: Partial<RunState> = {};
const show = batched(() => {
  const { series } = useRun.getState();
  useRun.setState({ ...pending, version: series.length, evaluations: series.evaluations });
  pending = {};
});

export function receiveForRun(signal: StudioSignal): void {
  const state = useRun.getState();
  if (signal.type === 'crashed') {
    if (isActive(state.status)) end('failed', { name: 'WorkerError', message: signal.message });
    return;
  }
  if (signal.runId !== state.runId || !isActive(state.status)) return;
  switch (signal.type) {
    case 'preparing':
      useRun.setState({ stage: signal.stage });
      break;
    case 'precision':
      useRun.setState({ precision: signal.choice });
      break;
    case 'memory':
      useRun.setState({ memory: signal.bytes, kept: signal.kept });
      break;
    case 'step':
      addStep(state, signal.record, signal.totalSteps, signal.tokensPerSecond);
      break;
    case 'paging':
      pending = { ...pending, paging: signal.rates };
      show.request();
      break;
    case 'evaluation':
      state.series.evaluate(signal.step, signal.loss);
      pending = { ...pending, latestEval: { step: signal.step, loss: signal.loss } };
      show.request();
      break;
    case 'sample':
      useRun.setState({ samples: [...state.samples, { step: signal.step, texts: signal.texts }] });
      break;
    case 'run-stored':
      useRun.setState({ storedId: signal.id });
      break;
    case 'restored':
      restore(state, signal);
      break;
    case 'saved':
      useRun.setState({ checkpointStep: signal.step, saveFailure: null });
      break;
    case 'save-failed':
      useRun.setState({ saveFailure: { name: signal.name, message: signal.message } });
      break;
    case 'device-lost':
      useRun.setState({ notes: [...state.notes, signal.message] });
      break;
    case 'paused':
      if (state.status === 'stopping') break;
      show.now();
      useRun.setState({ status: 'paused', ...stopClock() });
      break;
    case 'resumed':
      if (state.status === 'stopping') break;
      useRun.setState({ status: 'training', since: performance.now() });
      break;
    case 'finished':
      end('finished', null, signal.files, signal.stopped, signal.kept);
      useTrained.setState({ atHand: true });
      break;
    case 'failed':
      end('failed', { name: signal.name, message: signal.message }, signal.files);
      break;
    default:
      break;
  }
}

/** The curve up to the checkpoint, in the place of whatever was drawn. */
function restore(state: RunState, { step, records, evaluations, notes }: Of<'restored'>): void {
  const series = new StepSeries();
  for (const record of records) series.push(record, 0);
  for (const evaluation of evaluations) series.evaluate(evaluation.step, evaluation.loss);
  pending = {};
  const { length: version } = series;
  useRun.setState({
    series,
    version,
    evaluations: series.evaluations,
    latest: records.at(-1) ?? null,
    latestEval: evaluations.at(-1) ?? null,
    checkpointStep: step,
    anchor: null,
    notes: [...state.notes, `Resumed from step ${step}.`, ...notes],
  });
}

type Of<T extends StudioEvent['type']> = Extract<StudioEvent, { type: T }>;

function addStep(state: RunState, record: StepRecord, totalSteps: number, tokensPerSecond: number): void {
  state.series.push(record, tokensPerSecond);
  pending = { ...pending, latest: record, tokensPerSecond, totalSteps };
  const active = activeTime(state, performance.now());
  const { step } = record;
  const status = state.status === 'starting' ? 'training' : state.status;
  // The engine tells several steps at once: those that came with the first are no measure.
  if (!state.anchor) useRun.setState({ status, anchor: { step, active } });
  else if (active - state.anchor.active < SAME_TIME_MS) useRun.setState({ anchor: { ...state.anchor, step } });
  show.request();
}

function stopClock(): Pick<RunState, 'since' | 'activeBefore'> {
  return { activeBefore: activeTime(useRun.getState(), performance.now()), since: null };
}

function end(
  status: 'finished' | 'failed',
  failure: Failure | null,
  files: readonly AdapterFile[] = [],
  stopped = false,
  kept: TrainedAdapter['kept'] = null,
): void {
  show.now();
  useRun.setState({ status, failure, ...stopClock() });
  const { request, model, series, latestEval } = useRun.getState();
  if (!request || !model || files.length === 0) return;
  const outcome = status === 'failed' ? 'failed' : stopped ? 'stopped' : 'finished';
  useTrained.setState({
    trained: {
      name: request.name,
      model,
      request,
      steps: series.step.at(-1) ?? 0,
      finalLoss: series.loss.at(-1) ?? null,
      finalEvalLoss: latestEval?.loss ?? null,
      outcome,
      kept,
      files,
    },
  });
}
