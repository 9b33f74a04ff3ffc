/** Rows as a tokenizer and a chat template would show them: read by the real readers, cut into words. */

import { lengthStatistics } from '../../data/length_statistics.ts';
import { type DataRow, parseRow, RowError } from '../../data/rows.ts';
import type { LeftOut } from '../../worker/protocol.ts';
import type { DataSettings, RowPiece, ShownRow, StudioDataSummary } from '../../worker/studio_protocol.ts';
import type { ReadData } from '../../worker/studio_read.ts';

interface Message {
  readonly role: string;
  readonly content: string;
}

export async function showFakeRow({ rows }: ReadData, row: number, settings: DataSettings): Promise<ShownRow> {
  const place = { row, ...rows.place(row) };
  try {
    const options = {
      mapping: settings.columns ? { columns: settings.columns } : undefined,
      system: settings.system_prompt ?? undefined,
    };
    const parsed = parseRow(await rows.read(row), place.line, undefined, options);
    const whole = messagesOf(parsed).flatMap((message) => piecesOf(message, settings.assistant_only_loss));
    const pieces = whole.slice(0, settings.max_length);
    const trainedTokens = pieces.filter(({ trained }) => trained).length;
    const kept = { ...place, tokens: pieces.length, wholeTokens: whole.length, trainedTokens, notes: [] };
    if (trainedTokens === 0) return { ...kept, pieces: [], problem: 'No token of the row is trained.' };
    return { ...kept, pieces, problem: null };
  } catch (error) {
    if (!(error instanceof RowError)) throw error;
    const none = { tokens: 0, wholeTokens: 0, trainedTokens: 0, pieces: [], notes: [] };
    return { ...place, ...none, problem: error.reason };
  }
}

/** Null when no row can be used. */
export async function summarize(read: ReadData, settings: DataSettings): Promise<StudioDataSummary | null> {
  const shown: ShownRow[] = [];
  const dropped: LeftOut[] = [...read.problems.kept];
  for (let row = 0; row < read.rows.length; row++) {
    const one = await showFakeRow(read, row, settings);
    if (one.problem === null) shown.push(one);
    else dropped.push({ file: one.file, line: one.line, field: '', kind: 'nothing-to-train', reason: one.problem });
  }
  if (shown.length === 0) return null;
  const sum = (value: (row: ShownRow) => number) => shown.reduce((total, row) => total + value(row), 0);
  const validationExamples =
    read.validation?.rows.length ?? Math.min(shown.length - 1, Math.round(shown.length * settings.validation_share));
  const examples = read.validation ? shown.length : shown.length - validationExamples;
  const microBatchesPerEpoch = Math.ceil(examples / settings.per_device_train_batch_size);
  const window = settings.per_device_train_batch_size * settings.gradient_accumulation_steps;
  const droppedByKind: Record<string, number> = {};
  for (const { kind } of dropped) droppedByKind[kind] = (droppedByKind[kind] ?? 0) + 1;
  return {
    examples,
    validationExamples,
    tokens: sum(({ tokens }) => tokens),
    trainedTokens: sum(({ trainedTokens }) => trainedTokens),
    longest: Math.max(...shown.map(({ tokens }) => tokens)),
    truncated: shown.filter(({ tokens, wholeTokens }) => tokens < wholeTokens).length,
    duplicates: 0,
    dropped,
    droppedCount: dropped.length,
    droppedByKind,
    notes: settings.assistant_only_loss
      ? [{ text: 'The template marks no assistant turns: they were found by their role.', rows: 4, firstLine: 2 }]
      : [],
    microBatchesPerEpoch,
    stepsPerEpoch: Math.ceil(microBatchesPerEpoch / settings.gradient_accumulation_steps),
    lengths: lengthStatistics(
      Uint32Array.from(shown, ({ wholeTokens }) => wholeTokens),
      settings.max_length,
    ),
    warnings: examples < window ? [`There are ${examples} sequences for an update of ${window}.`] : [],
  };
}

function messagesOf(row: DataRow): readonly Message[] {
  switch (row.kind) {
    case 'messages':
      return row.messages;
    case 'text':
      return [{ role: 'assistant', content: row.text }];
    case 'prompt':
      return [
        { role: 'user', content: row.prompt },
        { role: 'assistant', content: row.completion },
      ];
    default:
      return row satisfies never;
  }
}

function piecesOf({ role, content }: Message, assistantOnly: boolean): RowPiece[] {
  const trained = role === 'assistant' || !assistantOnly;
  const words = content.match(/\s*\S+|\s+/g) ?? [];
  return [
    { text: '<|im_start|>', trained: false, special: true },
    { text: role, trained: false, special: false },
    { text: '\n', trained: false, special: false },
    ...words.map((text) => ({ text, trained, special: false })),
    { text: '<|im_end|>', trained, special: true },
    { text: '\n', trained: false, special: false },
  ];
}
