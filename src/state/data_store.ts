/** The dataset: the file, how far it is read, what became of it, and the rows that were looked at. */
import { create } from 'zustand';
import type { DataSettings, PreviewRow, StudioEvent } from '../worker/studio_protocol.ts';
import type { Failure } from './model_store.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

export type DataSummaryInfo = Extract<StudioEvent, { type: 'data-ready' }>['summary'];

export interface DataProgress {
  readonly rows: number;
  readonly bytes: number;
  readonly totalBytes: number;
}

interface DataState {
  readonly file: File | null;
  /** `waiting`: for a model, whose tokenizer reads the rows. */
  readonly status: 'none' | 'waiting' | 'reading' | 'ready' | 'failed';
  readonly runId: string;
  readonly rowsRunId: string;
  readonly progress: DataProgress | null;
  /** Of the last reading; while the file is read again with other settings it is out of date. */
  readonly summary: DataSummaryInfo | null;
  readonly settings: DataSettings | null;
  readonly rows: ReadonlyMap<number, PreviewRow>;
  readonly failure: Failure | null;
}

const NONE: DataState = {
  file: null,
  status: 'none',
  runId: '',
  rowsRunId: '',
  progress: null,
  summary: null,
  settings: null,
  rows: new Map(),
  failure: null,
};

export const useData = create<DataState>()(() => NONE);

/** Without settings, or with `ready` false, the file is kept until there is a model. */
export function openData(file: File, settings: DataSettings | null, ready: boolean): void {
  const { file: before, status, runId: earlier } = useData.getState();
  // Two readings at once would race for the worker's one dataset.
  if (status === 'reading') studioClient.send({ type: 'stop', runId: earlier });
  const same = before === file;
  const kept = same ? {} : { summary: null, rows: new Map<number, PreviewRow>() };
  if (!settings || !ready) {
    useData.setState({ ...kept, file, status: 'waiting', runId: '', progress: null, failure: null });
    return;
  }
  const runId = studioClient.newRunId('open-data');
  useData.setState({ ...kept, file, status: 'reading', runId, settings, progress: null, failure: null });
  studioClient.send({ type: 'open-data', runId, file, settings });
}

export function closeData(): void {
  useData.setState(NONE);
}

/** The model went away, and its tokenizer with it. */
export function waitForModel(): void {
  if (useData.getState().file) {
    useData.setState({ status: 'waiting', runId: '', summary: null, rows: new Map(), progress: null });
  }
}

export function askForRows(from: number, count: number): void {
  const runId = studioClient.newRunId('rows');
  useData.setState({ rowsRunId: runId });
  studioClient.send({ type: 'rows', runId, from, count });
}

export function receiveForData(signal: StudioSignal): void {
  if (signal.type === 'crashed') {
    waitForModel();
    return;
  }
  const state = useData.getState();
  if (signal.type === 'rows' && signal.runId === state.rowsRunId) addRows(signal.rows);
  if (signal.runId !== state.runId) return;
  switch (signal.type) {
    case 'data-progress':
      useData.setState({ progress: { rows: signal.rows, bytes: signal.bytes, totalBytes: signal.totalBytes } });
      break;
    case 'data-ready':
      useData.setState({ status: 'ready', summary: signal.summary, progress: null, rows: new Map() });
      addRows(signal.rows);
      break;
    case 'failed':
      useData.setState({
        status: 'failed',
        failure: { name: signal.name, message: signal.message },
        summary: null,
        rows: new Map(),
        progress: null,
      });
      break;
    default:
      break;
  }
}

function addRows(fresh: readonly PreviewRow[]): void {
  useData.setState(({ rows }) => ({ rows: new Map([...rows, ...fresh.map((row) => [row.index, row] as const)]) }));
}
