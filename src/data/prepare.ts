/** Rows → examples, in file order, with an account of what became of every row. */
import { type Example, IGNORE_INDEX } from './batch.ts';
import type { OpenChat } from './chat_renderer.ts';
import { DuplicateFinder } from './duplicates.ts';
import { DataFileError, type Problem, type ProblemKind } from './files/problem.ts';
import { ProblemLog } from './files/problem_log.ts';
import type { RowSet } from './files/row_set.ts';
import { Turns } from './files/turns.ts';
import { GrowingUint32 } from './growing.ts';
import { type LengthStatistics, lengthStatistics } from './length_statistics.ts';
import { type DropCode, type MaskConfig, type Prepared, RowPreparer } from './masks.ts';
import { parseRow, RowError, type RowKind, type RowOptions } from './rows.ts';
import { TokenStore } from './token_store.ts';
import type { Tokenizer } from './tokenizer.ts';

/** A row that is not trained on. */
export interface DroppedRow extends Omit<Problem, 'kind'> {
  readonly kind: ProblemKind | DropCode | 'duplicate';
}

/** Something to tell the user once: how many rows it concerns, and the first of them. */
export interface DatasetNote {
  readonly text: string;
  readonly rows: number;
  readonly firstLine: number;
}

export interface DatasetSummary {
  /** Rows of the files, used or not. */
  readonly rows: number;
  readonly kinds: Readonly<Record<RowKind, number>>;
  readonly examples: number;
  /** Tokens of all examples, and those of them whose prediction is trained. */
  readonly tokens: number;
  readonly trainedTokens: number;
  /** Tokens of the longest example, after truncation. */
  readonly longest: number;
  /** Rows cut at max_length. */
  readonly truncated: number;
  /** Examples that equal an earlier one, whether they were removed or not. */
  readonly duplicates: number;
  /** The highest token id. */
  readonly highestId: number;
  readonly lengths: LengthStatistics;
  /** The first rows left out. */
  readonly dropped: readonly DroppedRow[];
  readonly droppedCount: number;
  /** All rows left out, by kind. */
  readonly droppedByKind: Readonly<Record<string, number>>;
  readonly notes: readonly DatasetNote[];
}

export interface PreparedDataset {
  /** Tokens of each example, after truncation. */
  readonly lengths: Uint32Array;
  /** Of each example the first that equals it. */
  readonly groups: Uint32Array;
  /** The tokens of an example: held, or prepared again from its row. */
  load(example: number): Promise<Example>;
  readonly summary: DatasetSummary;
}

/** Nothing to train on; the message says how many rows there were and why they were left out. */
export class EmptyDatasetError extends Error {
  override name = 'EmptyDatasetError';
  readonly dropped: readonly DroppedRow[];
  constructor(rows: RowSet, { count, kept }: Pick<ProblemLog<DroppedRow>, 'count' | 'kept'>) {
    const file = namesOf(rows);
    super(
      count === 0
        ? `${file} has no rows. Choose a file with one example on each line.`
        : `None of the ${count} rows of ${file} can be trained on. ${commonest(kept)}`,
    );
    this.dropped = kept;
  }
}

export interface PrepareOptions extends RowOptions {
  readonly rows: RowSet;
  /** What the files' reading found: rows that cannot be read at all. */
  readonly problems?: ProblemLog<Problem>;
  readonly tokenizer: Tokenizer;
  readonly config: MaskConfig;
  /** Leaves out every example that equals an earlier one. */
  readonly removeDuplicates?: boolean;
  /** A row that cannot be read ends the preparation; it is listed and left out otherwise. */
  readonly strict?: boolean;
  /** Where the model's chat template is rendered. */
  readonly openChat: OpenChat;
  /** Tokens that are held at most. */
  readonly tokenBudget?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PrepareProgress) => void;
}

export interface PrepareProgress {
  readonly rows: number;
  readonly totalRows: number;
}

/** Rows between two reports. */
const REPORT_ROWS = 64;

/**
 * Checks, tokenizes and masks all rows.
 *
 * @throws RowError, with `strict`, for a row that is none: unreadable, or without a field it needs. The run must not begin.
 * @throws EmptyDatasetError when no example is left.
 * @throws TokenizerError when rows are conversations and the model has no chat template, ChatTemplateError when it has one that cannot be
 *   read.
 * @throws the signal's reason when aborted.
 */
export async function prepareDataset(options: PrepareOptions): Promise<PreparedDataset> {
  const { rows, tokenizer, config, signal, onProgress, strict = false, removeDuplicates = false } = options;
  const preparer = new RowPreparer(tokenizer, config, options.openChat);
  const unreadable = options.problems ?? new ProblemLog<Problem>();
  const [bad] = unreadable.kept;
  if (strict && bad) throw new RowError(bad.line, bad.field, bad.kind, bad.reason);
  const dropped: ProblemLog<DroppedRow> = unreadable.copy<DroppedRow>();
  const store = new TokenStore(options.tokenBudget);
  const finder = new DuplicateFinder();
  const [rowOf, lengths, fullLengths, groups] = [0, 1, 2, 3].map(() => new GrowingUint32());
  /** By the finder's number, which counts duplicates that were removed too. */
  const exampleOf = new GrowingUint32();
  const notes = new Map<string, { rows: number; firstLine: number }>();
  const kinds: Record<RowKind, number> = { text: 0, prompt: 0, messages: 0 };
  const counts = { tokens: 0, trainedTokens: 0, longest: 0, truncated: 0, duplicates: 0, highestId: 0 };
  const turns = new Turns(signal);
  let expected: RowKind | undefined;

  const total = rows.length;
  for (let number = 0; number < total; number++) {
    if (turns.due) await turns.take();
    if (number % REPORT_ROWS === 0) onProgress?.({ rows: number, totalRows: total });
    const { file, line } = rows.place(number);
    let prepared: Prepared;
    try {
      const row = parseRow(await rows.read(number), line, expected, options);
      expected ??= row.kind;
      kinds[row.kind]++;
      prepared = await preparer.prepare(row);
    } catch (error) {
      if (strict || !(error instanceof DataFileError || error instanceof RowError)) throw error;
      const { field, kind, reason } = error instanceof DataFileError ? error.problem : error;
      dropped.add({ file, line, field, kind, reason });
      continue;
    }
    if (prepared.kind === 'dropped') {
      dropped.add({ file, line, field: '', kind: prepared.code, reason: prepared.reason });
      continue;
    }
    const { example } = prepared;
    const first = finder.add(example);
    const duplicate = first < exampleOf.length;
    if (duplicate) counts.duplicates++;
    if (duplicate && removeDuplicates) {
      exampleOf.push(exampleOf.at(first));
      const earlier = rows.place(rowOf.at(exampleOf.at(first)));
      const where = earlier.file === file ? `line ${earlier.line}` : `${earlier.file}, line ${earlier.line}`;
      dropped.add({ file, line, field: '', kind: 'duplicate', reason: `The same as ${where}.` });
      continue;
    }
    exampleOf.push(lengths.length);
    groups.push(exampleOf.at(first));
    rowOf.push(number);
    lengths.push(example.ids.length);
    fullLengths.push(example.ids.length + prepared.truncatedTokens);
    store.add(example);
    count(counts, example);
    if (prepared.truncatedTokens > 0) counts.truncated++;
    for (const text of prepared.notes) {
      const note = notes.get(text) ?? { rows: 0, firstLine: line };
      notes.set(text, { ...note, rows: note.rows + 1 });
    }
  }
  signal?.throwIfAborted();
  onProgress?.({ rows: total, totalRows: total });
  if (lengths.length === 0) throw new EmptyDatasetError(rows, dropped);
  return {
    lengths: lengths.view(),
    groups: groups.view(),
    async load(example) {
      const held = store.get(example);
      if (held) return held;
      const number = rowOf.at(example);
      const row = parseRow(await rows.read(number), rows.place(number).line, undefined, options);
      const again = await preparer.prepare(row);
      if (again.kind === 'example' && again.example.ids.length === lengths.at(example)) return again.example;
      const { file, line } = rows.place(number);
      throw new RowError(line, '', 'syntax', `the row is not what it was: ${file} has changed. Read it again.`);
    },
    summary: {
      ...counts,
      rows: total + unreadable.count,
      kinds,
      examples: lengths.length,
      lengths: lengthStatistics(fullLengths.view(), config.max_length),
      dropped: dropped.kept,
      droppedCount: dropped.count,
      droppedByKind: dropped.byKind,
      notes: [...notes].map(([text, note]) => ({ text, ...note })),
    },
  };
}

function count(
  counts: { tokens: number; trainedTokens: number; longest: number; highestId: number },
  { ids, labels }: Example,
): void {
  counts.tokens += ids.length;
  counts.longest = Math.max(counts.longest, ids.length);
  for (let i = 0; i < ids.length; i++) {
    if (i > 0 && labels[i] !== IGNORE_INDEX) counts.trainedTokens++;
    if (ids[i] > counts.highestId) counts.highestId = ids[i];
  }
}

function namesOf({ tables }: RowSet): string {
  const names = tables.map(({ file }) => file);
  return names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more files` : names.join(', ');
}

function commonest(dropped: readonly DroppedRow[]): string {
  const byKind = new Map<string, DroppedRow[]>();
  for (const row of dropped) {
    const group = byKind.get(row.kind);
    if (group) group.push(row);
    else byKind.set(row.kind, [row]);
  }
  const group = [...byKind.values()].reduce((most, rows) => (rows.length > most.length ? rows : most));
  const first = group[0];
  return `Commonest reason (${group.length} of them, first on line ${first.line}): ${sentence(first.reason)}`;
}

function sentence(text: string): string {
  return `${text.replace(/\.$/, '')}.`;
}
