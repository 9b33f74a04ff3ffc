/** A dataset file → examples, in file order, with an account of what became of every row. */
import type { RangeSource } from '../formats/range_source.ts';
import { type Example, IGNORE_INDEX } from './batch.ts';
import type { OpenChat } from './chat_renderer.ts';
import { readJsonl } from './jsonl.ts';
import { type DropCode, type MaskConfig, RowPreparer } from './masks.ts';
import { parseRow, RowError, type RowKind } from './rows.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface DroppedRow {
  /** Line in the file, from 1. */
  readonly line: number;
  readonly code: DropCode;
  readonly reason: string;
}

/** Something to tell the user once: how many rows it concerns, and the first of them. */
export interface DatasetNote {
  readonly text: string;
  readonly rows: number;
  readonly firstLine: number;
}

export interface DatasetSummary {
  /** Rows of the file, used or not. */
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
  readonly dropped: readonly DroppedRow[];
  readonly notes: readonly DatasetNote[];
}

export interface PreparedDataset {
  readonly examples: readonly Example[];
  readonly summary: DatasetSummary;
}

/** Nothing to train on; the message says how many rows there were and why they were left out. */
export class EmptyDatasetError extends Error {
  override name = 'EmptyDatasetError';
  readonly dropped: readonly DroppedRow[];
  constructor(file: string, dropped: readonly DroppedRow[]) {
    super(
      dropped.length === 0
        ? `${file} has no rows. Choose a file with one JSON object on each line.`
        : `None of the ${dropped.length} rows of ${file} can be trained on. ${commonest(dropped)}`,
    );
    this.dropped = dropped;
  }
}

export interface PrepareOptions {
  /** A JSON Lines file. */
  readonly source: RangeSource;
  readonly tokenizer: Tokenizer;
  readonly config: MaskConfig;
  /** Where the model's chat template is rendered. */
  readonly openChat: OpenChat;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PrepareProgress) => void;
}

export interface PrepareProgress {
  readonly bytesRead: number;
  readonly bytes: number;
  readonly rows: number;
}

/** How long to work between looking for an abort, in milliseconds. */
const SLICE_MS = 50;

/**
 * Reads, checks, tokenizes and masks a whole file.
 *
 * @throws RowError for a line that is not a row: unreadable, or without a field it needs. The run must not begin.
 * @throws EmptyDatasetError when no example is left.
 * @throws TokenizerError when rows are conversations and the model has no chat template, ChatTemplateError when it has one that cannot be
 *   read.
 * @throws the signal's reason when aborted.
 */
export async function prepareDataset(options: PrepareOptions): Promise<PreparedDataset> {
  const { source, tokenizer, config, signal, onProgress } = options;
  const preparer = new RowPreparer(tokenizer, config, options.openChat);
  const examples: Example[] = [];
  const dropped: DroppedRow[] = [];
  const notes = new Map<string, { rows: number; firstLine: number }>();
  const kinds: Record<RowKind, number> = { text: 0, prompt: 0, messages: 0 };
  const counts = { rows: 0, tokens: 0, trainedTokens: 0, longest: 0, truncated: 0 };
  let expected: RowKind | undefined;
  let resumed = performance.now();

  const report = (bytesRead: number) => onProgress?.({ bytesRead, bytes: source.size, rows: counts.rows });
  for await (const item of readJsonl(source, { signal, onProgress: report })) {
    if (performance.now() - resumed > SLICE_MS) {
      // A turn of the event loop, so that an abort posted to this thread is seen.
      await new Promise((resolve) => setTimeout(resolve));
      signal?.throwIfAborted();
      resumed = performance.now();
    }
    if (item.kind === 'problem') throw new RowError(item.line, '', sentence(item.reason));
    const row = parseRow(item.value, item.line, expected);
    expected ??= row.kind;
    counts.rows++;
    kinds[row.kind]++;
    const prepared = await preparer.prepare(row);
    if (prepared.kind === 'dropped') {
      dropped.push({ line: row.line, code: prepared.code, reason: prepared.reason });
      continue;
    }
    const { example } = prepared;
    examples.push(example);
    counts.tokens += example.ids.length;
    counts.trainedTokens += example.labels.filter((label, index) => index > 0 && label !== IGNORE_INDEX).length;
    counts.longest = Math.max(counts.longest, example.ids.length);
    if (prepared.truncatedTokens > 0) counts.truncated++;
    for (const text of prepared.notes) {
      const note = notes.get(text) ?? { rows: 0, firstLine: row.line };
      notes.set(text, { ...note, rows: note.rows + 1 });
    }
  }
  if (examples.length === 0) throw new EmptyDatasetError(source.name, dropped);
  const summary: DatasetSummary = {
    ...counts,
    kinds,
    examples: examples.length,
    dropped,
    notes: [...notes].map(([text, note]) => ({ text, ...note })),
  };
  return { examples, summary };
}

function commonest(dropped: readonly DroppedRow[]): string {
  const byCode = new Map<DropCode, DroppedRow[]>();
  for (const row of dropped) {
    const group = byCode.get(row.code);
    if (group) group.push(row);
    else byCode.set(row.code, [row]);
  }
  const group = [...byCode.values()].reduce((most, rows) => (rows.length > most.length ? rows : most));
  const first = group[0]!;
  return `Commonest reason (${group.length} of them, first on line ${first.line}): ${sentence(first.reason)}`;
}

function sentence(text: string): string {
  return `${text.replace(/\.$/, '')}.`;
}
