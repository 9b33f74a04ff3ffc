/** The studio's dataset as the loaded model takes it: tokenized, split, planned; and one row of it to look at. */
import { batchesOf, type DatasetPart, partOf } from '../data/batches.ts';
import type { OpenChat } from '../data/chat_renderer.ts';
import type { RowSet } from '../data/files/row_set.ts';
import { RowPreparer } from '../data/masks.ts';
import { type PreparedDataset, type PrepareOptions, prepareDataset } from '../data/prepare.ts';
import type { RowEncoder } from '../data/row_encoder.ts';
import { parseRow, RowError, type RowOptions } from '../data/rows.ts';
import { splitExamples } from '../data/split.ts';
import { checkVocabulary } from './prepare_run.ts';
import { rowPieces } from './row_pieces.ts';
import type { LoadedModel } from './studio_model.ts';
import type { DataSettings, ShownRow } from './studio_protocol.ts';
import type { DataPorts, ReadData } from './studio_read.ts';

export interface LoadedData {
  readonly settings: DataSettings;
  readonly training: DatasetPart;
  readonly validation: DatasetPart;
  readonly longest: number;
}

const REPORT_MS = 100;
const ROWS_FOR_WORKERS = 2000;

/** Tokenizes what was read, with the model's tokenizer and template. Rejects with the named errors of `data`. */
export async function prepareData(
  model: LoadedModel,
  read: ReadData,
  settings: DataSettings,
  openChat: OpenChat,
  { runId, emit, signal, encoder }: DataPorts & { readonly encoder?: RowEncoder | undefined },
): Promise<LoadedData> {
  const { tokenizer, spec } = model;
  let reported = performance.now();
  const prepare = async ({ rows, problems }: Pick<PrepareOptions, 'rows' | 'problems'>): Promise<PreparedDataset> => {
    const dataset = await prepareDataset({
      ...rowOptions(settings),
      rows,
      problems,
      tokenizer,
      config: settings,
      openChat,
      // A few rows are done before a worker has read the tokenizer.
      ...(encoder && rows.length >= ROWS_FOR_WORKERS && { encoder }),
      removeDuplicates: settings.remove_duplicates,
      signal,
      onProgress: ({ rows: done, totalRows }) => {
        if (performance.now() - reported < REPORT_MS) return;
        reported = performance.now();
        emit({ type: 'data-progress', runId, stage: 'tokenizing', done, total: totalRows, rows: done });
      },
    });
    checkVocabulary(dataset.summary.highestId, spec);
    return dataset;
  };
  const dataset = await prepare(read);
  const held = read.validation ? await prepare(read.validation) : null;
  const split = splitExamples(dataset.groups, held ? 0 : settings.validation_share, settings.seed);
  const training = partOf(dataset, split.training);
  const validation = held ?? partOf(dataset, split.validation);
  const { plan } = batchesOf(training, settings);
  const { summary } = dataset;
  const warnings = warningsOf(plan.rows, validation.lengths.length, held !== null, settings);
  emit({
    type: 'data-ready',
    runId,
    summary: {
      examples: training.lengths.length,
      trainedTokens: summary.trainedTokens,
      truncated: summary.truncated,
      dropped: summary.dropped,
      droppedCount: summary.droppedCount,
      droppedByKind: summary.droppedByKind,
      notes: summary.notes,
      microBatchesPerEpoch: plan.microBatchesPerEpoch,
      validationExamples: validation.lengths.length,
      tokens: summary.tokens,
      longest: summary.longest,
      duplicates: summary.duplicates,
      stepsPerEpoch: plan.windowsPerEpoch,
      lengths: summary.lengths,
      warnings,
    },
  });
  return { settings, training, validation, longest: Math.max(summary.longest, held?.summary.longest ?? 0) };
}

function rowOptions({ columns, system_prompt }: DataSettings): RowOptions {
  return { mapping: columns ? { columns } : undefined, system: system_prompt ?? undefined };
}

/** What works, but perhaps not as it was meant. */
function warningsOf(rows: number, validation: number, ownFile: boolean, settings: DataSettings): string[] {
  const { per_device_train_batch_size: batch, gradient_accumulation_steps: accumulation, validation_share } = settings;
  const warnings: string[] = [];
  if (rows < batch * accumulation) {
    warnings.push(
      `There are ${rows} sequences for an update of ${batch} × ${accumulation}: every step sees all of them. ` +
        'Lower per_device_train_batch_size or gradient_accumulation_steps, or bring more rows.',
    );
  }
  if (!ownFile && validation_share > 0 && validation === 0) {
    warnings.push(
      'Too few rows to hold any out: there is no validation. Set validation_share to 0, or bring more rows.',
    );
  }
  return warnings;
}

/** One row as the model sees it. */
export async function showRow(
  { tokenizer }: LoadedModel,
  rows: RowSet,
  row: number,
  settings: DataSettings,
  openChat: OpenChat,
): Promise<ShownRow> {
  const place = { row, ...rows.place(row) };
  const refused = (problem: string): ShownRow => ({
    ...place,
    tokens: 0,
    wholeTokens: 0,
    trainedTokens: 0,
    pieces: [],
    notes: [],
    problem,
  });
  try {
    const parsed = parseRow(await rows.read(row), place.line, undefined, rowOptions(settings));
    const prepared = await new RowPreparer(tokenizer, settings, openChat).prepare(parsed);
    if (prepared.kind === 'dropped') return refused(prepared.reason);
    const { example, truncatedTokens, notes } = prepared;
    return {
      ...place,
      tokens: example.ids.length,
      wholeTokens: example.ids.length + truncatedTokens,
      // A row's first token is predicted from nothing.
      trainedTokens: example.labels.reduce((sum, label, at) => sum + (label >= 0 && at > 0 ? 1 : 0), 0),
      pieces: rowPieces(example, tokenizer),
      notes,
      problem: null,
    };
  } catch (error) {
    if (error instanceof RowError) return refused(error.reason);
    throw error;
  }
}
