/** The studio's dataset as its files have it: read through once, rows in reach by number. */

import type { Problem } from '../data/files/problem.ts';
import { ProblemLog } from '../data/files/problem_log.ts';
import { type RowSet, readRowSet } from '../data/files/row_set.ts';
import { EmptyDatasetError } from '../data/prepare.ts';
import { detectShape } from '../data/shapes.ts';
import type { RangeSource } from '../formats/range_source.ts';
import { blobSource } from '../hub/dropped_folder.ts';
import { createOpfsScratch } from './opfs_scratch.ts';
import type { DataLocation, DataTable, RawRow, StudioEvent, TextRows } from './studio_protocol.ts';

export interface ReadData {
  readonly rows: RowSet;
  readonly problems: ProblemLog<Problem>;
  readonly columns: readonly string[];
  /** Null where no validation set was given. */
  readonly validation: { readonly rows: RowSet; readonly problems: ProblemLog<Problem> } | null;
}

export interface DataPorts {
  readonly runId: string;
  readonly emit: (event: StudioEvent) => void;
  readonly signal: AbortSignal;
}

/** Rows by which the shape is told, and which the page gets first. */
const FIRST_ROWS = 100;
/** Problems sent to the page. */
const PROBLEMS_SHOWN = 10_000;
const REPORT_MS = 100;
/** Characters of a cell in the table. */
const CELL_CAP = 160;
/** No cell has room for more. */
const TURNS_SHOWN = 8;

/**
 * Reads all files through. `data-read` is emitted when the first rows are there, and again at the end. Rejects with the
 * named errors of `data`.
 */
export async function readData(
  data: readonly RangeSource[],
  validation: readonly RangeSource[] | null,
  text: TextRows,
  ports: DataPorts,
  onRows: (data: ReadData) => void,
): Promise<ReadData> {
  const { runId, emit, signal } = ports;
  let reported = performance.now();
  let shown = false;
  const read = async (sources: readonly RangeSource[], onFirst?: (rows: RowSet) => Promise<void>) => {
    const problems = new ProblemLog<Problem>();
    let first: Promise<void> | undefined;
    const rows = await readRowSet(sources, {
      createScratch: createOpfsScratch,
      split: text,
      signal,
      onProblem: (problem) => problems.add(problem),
      onProgress: ({ bytesRead, bytes, rows: count }, set) => {
        if (!shown && onFirst && count >= FIRST_ROWS) {
          shown = true;
          first = onFirst(set);
        }
        if (performance.now() - reported < REPORT_MS) return;
        reported = performance.now();
        emit({ type: 'data-progress', runId, stage: 'reading', done: bytesRead, total: bytes, rows: count });
      },
    });
    await first;
    return { rows, problems };
  };
  const { rows, problems } = await read(data, async (set) => {
    const early = await look(set, new ProblemLog(), 0);
    onRows({ rows: set, problems: new ProblemLog(), columns: early.table.columns, validation: null });
    emit({ type: 'data-read', runId, ...early, done: false });
  });
  const held = validation ? await read(validation) : null;
  const { table, rows: first } = await look(rows, problems, held?.rows.length ?? 0);
  const result: ReadData = { rows, problems, columns: table.columns, validation: held };
  onRows(result);
  const empty = [result, ...(held ? [held] : [])].find((set) => set.rows.length === 0);
  emit({ type: 'data-read', runId, table, rows: first, done: !empty });
  if (empty) throw new EmptyDatasetError(empty.rows, empty.problems);
  return result;
}

/** Files that were dropped. */
export function droppedSources(location: DataLocation & { kind: 'files' }): RangeSource[] {
  return location.files.map((file) => blobSource(file.name, file));
}

async function look(
  rows: RowSet,
  problems: ProblemLog<Problem>,
  validationRows: number,
): Promise<{ table: DataTable; rows: RawRow[] }> {
  const count = Math.min(FIRST_ROWS, rows.length);
  const values = await Promise.all(Array.from({ length: count }, (_, row) => rows.read(row)));
  const { shape, reason, columns } = detectShape(values);
  return {
    table: {
      files: rows.tables.map(({ file, format, bytes, rows: own, unit }) => ({
        name: file,
        format,
        bytes,
        rows: own,
        unit,
      })),
      rows: rows.length,
      columns,
      shape,
      reason,
      problems: problems.kept.slice(0, PROBLEMS_SHOWN),
      problemCount: problems.count,
      validationRows,
    },
    rows: values.map((value, row) => rawRow(rows, row, value, columns)),
  };
}

/** Rows [from, from + count) for the table. */
export function rawRows({ rows, columns }: ReadData, from: number, count: number): Promise<RawRow[]> {
  const length = Math.max(0, Math.min(count, rows.length - from));
  return Promise.all(
    Array.from({ length }, async (_, i) => rawRow(rows, from + i, await rows.read(from + i), columns)),
  );
}

function rawRow(rows: RowSet, row: number, value: unknown, columns: readonly string[]): RawRow {
  const fields = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const cells = columns.map((name) => (Object.hasOwn(fields, name) ? cell(fields[name]) : ''));
  return { row, ...rows.place(row), cells: columns.length > 0 ? cells : [cell(value)] };
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  const text = typeof value === 'string' ? value : (conversation(value) ?? JSON.stringify(value) ?? '');
  return text.length > CELL_CAP ? `${text.slice(0, CELL_CAP)}…` : text;
}

/** Turns as they are spoken: their JSON begins with the same words in every row. */
function conversation(value: unknown): string | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const turns = value.slice(0, TURNS_SHOWN).map((turn: unknown) => {
    if (typeof turn !== 'object' || turn === null) return undefined;
    const { role, content, from, value: said } = turn as Record<string, unknown>;
    const [who, what] = from === undefined ? [role, content] : [from, said];
    return typeof who === 'string' && typeof what === 'string' ? `${who}: ${what}` : undefined;
  });
  return turns.includes(undefined) ? undefined : turns.join(' · ');
}
