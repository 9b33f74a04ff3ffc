/** Rows → examples, in file order, with an account of what became of every row. */
import type { Example } from './batch.ts';
import type { OpenChat } from './chat_renderer.ts';
import { DuplicateFinder } from './duplicates.ts';
import { DataFileError, type Problem, type ProblemKind } from './files/problem.ts';
import { ProblemLog } from './files/problem_log.ts';
import type { RowSet } from './files/row_set.ts';
import { Turns } from './files/turns.ts';
import { GrowingUint32 } from './growing.ts';
import { type LengthStatistics, lengthStatistics } from './length_statistics.ts';
import { type MaskConfig, RowPreparer } from './masks.ts';
import { type DropCode, type ModelText, RowRenderer } from './model_text.ts';
import {
  type EncodedRow,
  type EncodedRows,
  encodeHere,
  idOfToken,
  isTrainedToken,
  type RowEncoder,
} from './row_encoder.ts';
import { type DataRow, parseRow, RowError, type RowKind, type RowOptions } from './rows.ts';
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
  /** Where rows are cut into tokens; in this thread when absent. The result is the same. */
  readonly encoder?: RowEncoder;
  /** Tokens that are held at most. */
  readonly tokenBudget?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PrepareProgress) => void;
}

export interface PrepareProgress {
  readonly rows: number;
  readonly totalRows: number;
}

interface Place {
  readonly file: string;
  readonly line: number;
}

/** Rows that are cut into tokens together: so many, or fewer that are long. */
const BATCH_ROWS = 64;
const BATCH_CHARACTERS = 2 ** 18;

/** A row on its way, or why it is none. */
type Entry =
  | { readonly number: number; readonly place: Place; readonly text: Promise<ModelText> }
  | { readonly number: number; readonly place: Place; readonly error: unknown };

interface Batch {
  readonly entries: readonly Entry[];
  /** Of those that are rows. */
  readonly encoded: Promise<EncodedRows>;
}

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
  const renderer = new RowRenderer(tokenizer, config.assistant_only_loss, options.openChat);
  const encoder = options.encoder ?? encodeHere(tokenizer);
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
  const drop = ({ file, line }: Place, error: unknown) => {
    if (strict || !(error instanceof DataFileError || error instanceof RowError)) throw error;
    const { field, kind, reason } = error instanceof DataFileError ? error.problem : error;
    dropped.add({ file, line, field, kind, reason });
  };
  const keep = (number: number, { file, line }: Place, row: EncodedRow, tokens: Uint32Array) => {
    if (row.kind === 'dropped') {
      dropped.add({ file, line, field: '', kind: row.code, reason: row.reason });
      return;
    }
    const first = finder.add(tokens);
    const duplicate = first < exampleOf.length;
    if (duplicate) counts.duplicates++;
    if (duplicate && removeDuplicates) {
      exampleOf.push(exampleOf.at(first));
      const earlier = rows.place(rowOf.at(exampleOf.at(first)));
      const where = earlier.file === file ? `line ${earlier.line}` : `${earlier.file}, line ${earlier.line}`;
      dropped.add({ file, line, field: '', kind: 'duplicate', reason: `The same as ${where}.` });
      return;
    }
    exampleOf.push(lengths.length);
    groups.push(exampleOf.at(first));
    rowOf.push(number);
    lengths.push(tokens.length);
    fullLengths.push(tokens.length + row.truncatedTokens);
    store.add(tokens);
    count(counts, tokens);
    if (row.truncatedTokens > 0) counts.truncated++;
    for (const text of row.notes) {
      const note = notes.get(text) ?? { rows: 0, firstLine: line };
      notes.set(text, { ...note, rows: note.rows + 1 });
    }
  };
  // Some batches are under way at once, and are told of in their order: while some are cut into tokens, the next go through the template.
  const underWay: Batch[] = [];
  const finish = async () => {
    signal?.throwIfAborted();
    const oldest = underWay.shift();
    if (!oldest) return;
    const { tokens, rows: encodedRows } = await oldest.encoded;
    let [row, begin] = [0, 0];
    for (const entry of oldest.entries) {
      if ('error' in entry) {
        drop(entry.place, entry.error);
        continue;
      }
      const encoded = encodedRows[row++];
      const end = encoded.kind === 'example' ? begin + encoded.length : begin;
      keep(entry.number, entry.place, encoded, tokens.subarray(begin, end));
      begin = end;
    }
    const last = oldest.entries.at(-1);
    if (last) onProgress?.({ rows: last.number + 1, totalRows: total });
  };
  let entries: Entry[] = [];
  let characters = 0;
  const send = () => {
    const texts = entries.flatMap((entry) => ('text' in entry ? [entry.text] : []));
    const encoded = Promise.all(texts).then((all) => encoder.encode(all, config.max_length));
    // Its turn comes; until then a failure is nobody's.
    encoded.catch(() => undefined);
    underWay.push({ entries, encoded });
    entries = [];
    characters = 0;
  };
  onProgress?.({ rows: 0, totalRows: total });
  for (let number = 0; number < total; number++) {
    if (turns.due) await turns.take();
    const place = rows.place(number);
    try {
      const row = parseRow(await rows.read(number), place.line, expected, options);
      expected ??= row.kind;
      kinds[row.kind]++;
      const text = renderer.render(row);
      text.catch(() => undefined);
      entries.push({ number, place, text });
      characters += charactersOf(row);
    } catch (error) {
      entries.push({ number, place, error });
    }
    if (entries.length < BATCH_ROWS && characters < BATCH_CHARACTERS) continue;
    send();
    if (underWay.length > 2 * encoder.width) await finish();
  }
  send();
  while (underWay.length > 0) await finish();
  signal?.throwIfAborted();
  onProgress?.({ rows: total, totalRows: total });
  if (lengths.length === 0) throw new EmptyDatasetError(rows, dropped);
  /** For rows that are not held. */
  let preparer: RowPreparer | undefined;
  return {
    lengths: lengths.view(),
    groups: groups.view(),
    async load(example) {
      const held = store.get(example);
      if (held) return held;
      const number = rowOf.at(example);
      const row = parseRow(await rows.read(number), rows.place(number).line, undefined, options);
      preparer ??= new RowPreparer(tokenizer, config, options.openChat);
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

function charactersOf(row: DataRow): number {
  if (row.kind === 'text') return row.text.length;
  if (row.kind === 'prompt') return row.prompt.length + row.completion.length;
  return row.messages.reduce((sum, { content }) => sum + content.length, 0);
}

function count(
  counts: { tokens: number; trainedTokens: number; longest: number; highestId: number },
  tokens: Uint32Array,
): void {
  counts.tokens += tokens.length;
  counts.longest = Math.max(counts.longest, tokens.length);
  for (let i = 0; i < tokens.length; i++) {
    if (i > 0 && isTrainedToken(tokens[i])) counts.trainedTokens++;
    counts.highestId = Math.max(counts.highestId, idOfToken(tokens[i]));
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
