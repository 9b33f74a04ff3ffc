/** The dataset: its files and what they hold, how it is to be read, what became of it, and the rows that were looked at. */
import { create } from 'zustand';
import type { ColumnRoles, SystemPrompt } from '../formats/run_config.ts';
import type {
  DataLocation,
  DataSettings,
  DataTable,
  RawRow,
  ShownRow,
  StudioDataSummary,
  TextRows,
} from '../worker/studio_protocol.ts';
import type { Failure } from './model_store.ts';
import { RateMeter } from './rate.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

export interface DataProgress {
  readonly stage: 'reading' | 'tokenizing';
  readonly done: number;
  readonly total: number;
  readonly rows: number;
  /** Bytes or rows a second; null until there is enough to say. */
  readonly perSecond: number | null;
  readonly secondsLeft: number | null;
}

interface DataState {
  /** What was dropped, chosen or named; null without a dataset. */
  readonly location: DataLocation | null;
  readonly validation: DataLocation | null;
  /** `waiting`: for a model, whose tokenizer reads the rows, or for settings that are right. */
  readonly status: 'none' | 'reading' | 'waiting' | 'tokenizing' | 'ready' | 'failed';
  /** Of the reading or tokenizing that is under way. */
  readonly runId: string;
  readonly progress: DataProgress | null;
  /** What the files hold; the first rows come before the rest is read. */
  readonly table: DataTable | null;
  /** Whether all of the files was read. */
  readonly complete: boolean;
  readonly rawRows: ReadonlyMap<number, RawRow>;
  /** Of rows that were asked for; empty when none are. */
  readonly rowsRunId: string;
  /** How rows are read, beside what the settings say. */
  readonly text: TextRows;
  readonly columns: ColumnRoles | null;
  readonly system: SystemPrompt | null;
  /** Of the last tokenizing; while it is done again with other settings, it is out of date. */
  readonly summary: StudioDataSummary | null;
  readonly settings: DataSettings | null;
  readonly failure: Failure | null;
  /** The row that is looked at, and how the model sees it. */
  readonly selected: number;
  readonly shown: ShownRow | null;
  readonly shownRunId: string;
}

const NONE: DataState = {
  location: null,
  validation: null,
  status: 'none',
  runId: '',
  progress: null,
  table: null,
  complete: false,
  rawRows: new Map(),
  rowsRunId: '',
  text: { by: 'paragraph', windowBytes: 4000 },
  columns: null,
  system: null,
  summary: null,
  settings: null,
  failure: null,
  selected: 0,
  shown: null,
  shownRunId: '',
};

/** Rows of the table that are held; more are asked for again. */
const ROWS_HELD = 5000;

/** Of the reading or tokenizing that is under way. */
const meter = new RateMeter();

export const useData = create<DataState>()(() => NONE);

/** Reads files through. What was said of other files (columns) goes; how text and system messages are read stays. */
export function readData(location: DataLocation, validation: DataLocation | null): void {
  stopData();
  const { text, system, location: before, columns } = useData.getState();
  meter.reset();
  const runId = studioClient.newRunId('read-data');
  const same = before === location;
  useData.setState({
    ...NONE,
    text,
    system,
    columns: same ? columns : null,
    location,
    validation,
    status: 'reading',
    runId,
  });
  studioClient.send({ type: 'read-data', runId, data: location, validation, text });
}

export function closeData(): void {
  stopData();
  useData.setState(NONE);
}

/** Stops reading or tokenizing; two at once would race for the worker's one dataset. */
export function stopData(): void {
  const { status, runId } = useData.getState();
  if (status === 'reading' || status === 'tokenizing') studioClient.send({ type: 'stop', runId });
}

/** Null while something that decides how rows are read is wrong, or there is no model. */
export function prepareData(settings: DataSettings | null): void {
  const { complete, location } = useData.getState();
  if (!location || !complete) return;
  stopData();
  if (!settings) {
    useData.setState({ status: 'waiting', runId: '', progress: null, failure: null, settings: null });
    return;
  }
  meter.reset();
  const runId = studioClient.newRunId('prepare-data');
  useData.setState({ status: 'tokenizing', runId, settings, progress: null, failure: null });
  studioClient.send({ type: 'prepare-data', runId, settings });
}

/** The model went away, and its tokenizer with it. */
export function forgetTokens(): void {
  const { complete } = useData.getState();
  if (complete) useData.setState({ status: 'waiting', runId: '', summary: null, settings: null, progress: null });
  useData.setState({ shown: null });
}

export function setText(text: TextRows): void {
  useData.setState({ text });
}

export function setColumns(columns: ColumnRoles | null): void {
  useData.setState({ columns });
}

export function setSystemPrompt(system: SystemPrompt | null): void {
  useData.setState({ system });
}

export function askForRows(from: number, count: number): void {
  const runId = studioClient.newRunId('raw-rows');
  useData.setState({ rowsRunId: runId });
  studioClient.send({ type: 'raw-rows', runId, from, count });
}

export function selectRow(row: number): void {
  useData.setState({ selected: row });
}

/** How the model sees the selected row; null while there is no model, or a setting is wrong. */
export function showSelected(settings: DataSettings | null): void {
  const { selected, table } = useData.getState();
  if (!settings || !table || selected >= table.rows) {
    useData.setState({ shown: null, shownRunId: '' });
    return;
  }
  const runId = studioClient.newRunId('show-row');
  useData.setState({ shownRunId: runId });
  studioClient.send({ type: 'show-row', runId, row: selected, settings });
}

export function receiveForData(signal: StudioSignal): void {
  if (signal.type === 'crashed') {
    // Files are read again: the worker held their index.
    const { location, validation } = useData.getState();
    if (location) useData.setState({ ...NONE, location, validation, status: 'waiting' });
    return;
  }
  const state = useData.getState();
  if (signal.type === 'raw-rows' && signal.runId === state.rowsRunId) {
    useData.setState({ rowsRunId: '' });
    addRows(signal.rows);
  }
  if (signal.type === 'failed' && signal.runId === state.rowsRunId) useData.setState({ rowsRunId: '' });
  if (signal.type === 'row' && signal.runId === state.shownRunId) useData.setState({ shown: signal.row });
  if (signal.type === 'failed' && signal.runId === state.shownRunId) {
    const row = { row: state.selected, file: '', line: 0, tokens: 0, wholeTokens: 0, trainedTokens: 0 };
    useData.setState({ shown: { ...row, pieces: [], notes: [], problem: signal.message } });
  }
  if (signal.runId !== state.runId) return;
  switch (signal.type) {
    case 'data-progress': {
      const { stage, done, total, rows } = signal;
      meter.add(done, performance.now());
      const left = { perSecond: meter.perSecond(), secondsLeft: meter.secondsLeft(total) };
      useData.setState({ progress: { stage, done, total, rows, ...left } });
      break;
    }
    case 'data-read':
      addRows(signal.rows);
      if (signal.done) useData.setState({ table: signal.table, complete: true, status: 'waiting', progress: null });
      else useData.setState({ table: signal.table });
      break;
    case 'data-ready':
      useData.setState({ status: 'ready', summary: signal.summary, progress: null });
      break;
    case 'failed':
      useData.setState({
        status: 'failed',
        failure: { name: signal.name, message: signal.message },
        summary: null,
        progress: null,
      });
      break;
    default:
      break;
  }
}

function addRows(fresh: readonly RawRow[]): void {
  useData.setState(({ rawRows }) => {
    const kept = rawRows.size + fresh.length > ROWS_HELD ? [] : rawRows;
    return { rawRows: new Map([...kept, ...fresh.map((row) => [row.row, row] as const)]) };
  });
}
