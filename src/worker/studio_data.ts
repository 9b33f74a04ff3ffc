/** The studio's dataset: prepared examples, a validation split, and rows as the model sees them. */
import type { Example } from '../data/batch.ts';
import { planBatches } from '../data/batching.ts';
import type { OpenChat } from '../data/chat_renderer.ts';
import { prepareDataset } from '../data/prepare.ts';
import { permutation } from '../data/random.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { droppedFolder } from '../hub/dropped_folder.ts';
import type { LoadedModel } from './studio_model.ts';
import type { DataSettings, PreviewRow, RowPiece, StudioEvent } from './studio_protocol.ts';

export interface LoadedData {
  readonly name: string;
  readonly settings: DataSettings;
  /** All examples in file order, for the preview. */
  readonly examples: readonly Example[];
  readonly training: readonly Example[];
  readonly validation: readonly Example[];
  readonly longest: number;
}

/** Rows sent with `data-ready`. */
const FIRST_ROWS = 20;
/** Another stream of the seed's generator than the epochs' shuffles use. */
const SPLIT_STREAM = 0x5eed;
const REPORT_MS = 100;

export interface DataPorts {
  readonly runId: string;
  readonly emit: (event: StudioEvent) => void;
  readonly signal: AbortSignal;
  /** Where the model's chat template is rendered. */
  readonly openChat: OpenChat;
}

/** Reads a file with the model's tokenizer and template. Rejects with the named errors of `data`. */
export async function openData(
  { tokenizer, spec }: LoadedModel,
  file: File,
  settings: DataSettings,
  { runId, emit, signal, openChat }: DataPorts,
): Promise<LoadedData> {
  const source = await droppedFolder(file.name, [{ path: file.name, file }]).open(file.name);
  let reported = Number.NEGATIVE_INFINITY;
  const { examples, summary } = await prepareDataset({
    source,
    tokenizer,
    config: settings,
    openChat,
    signal,
    onProgress: ({ rows, bytesRead, bytes }) => {
      const now = performance.now();
      if (now - reported < REPORT_MS) return;
      reported = now;
      emit({ type: 'data-progress', runId, rows, bytes: bytesRead, totalBytes: bytes });
    },
  });
  for (const { ids } of examples) {
    const unknown = ids.find((id) => id >= spec.vocabSize);
    if (unknown !== undefined) {
      throw new RangeError(`The tokenizer produces the id ${unknown}, but the model has ${spec.vocabSize} embeddings.`);
    }
  }
  const { training, validation } = split(examples, settings);
  const plan = planBatches(training, settings);
  const data: LoadedData = { name: file.name, settings, examples, training, validation, longest: summary.longest };
  emit({
    type: 'data-ready',
    runId,
    name: file.name,
    summary: {
      examples: training.length,
      trainedTokens: summary.trainedTokens,
      truncated: summary.truncated,
      dropped: summary.dropped.map(({ line, reason }) => ({ line, reason })),
      notes: summary.notes,
      microBatchesPerEpoch: plan.microBatchesPerEpoch,
      validationExamples: validation.length,
      tokens: summary.tokens,
      longest: summary.longest,
      stepsPerEpoch: plan.windowsPerEpoch,
    },
    rows: previewRows(data, tokenizer, 0, FIRST_ROWS),
  });
  return data;
}

/** Held out by seed; at least one example is left to train on. */
function split(examples: readonly Example[], { validation_share, seed }: DataSettings) {
  const count = Math.min(examples.length - 1, Math.round(examples.length * validation_share));
  if (count <= 0) return { training: examples, validation: [] };
  const held = new Set(permutation(examples.length, seed, SPLIT_STREAM).slice(0, count));
  return {
    training: examples.filter((_, i) => !held.has(i)),
    validation: examples.filter((_, i) => held.has(i)),
  };
}

export function previewRows({ examples }: LoadedData, tokenizer: Tokenizer, from: number, count: number): PreviewRow[] {
  const added = new Set(tokenizer.addedTokens.map((token) => tokenizer.tokenToId(token)));
  return examples.slice(from, from + count).map(({ ids, labels }, i) => ({
    index: from + i,
    tokens: ids.length,
    // A row's first token is predicted from nothing.
    trainedTokens: labels.reduce((sum, label, at) => sum + (label >= 0 && at > 0 ? 1 : 0), 0),
    pieces: pieces(ids, labels, added, tokenizer),
  }));
}

/** Neighbouring tokens of the same kind together, so that a character of several tokens is decoded whole. */
function pieces(
  ids: readonly number[],
  labels: readonly number[],
  added: ReadonlySet<number | undefined>,
  tokenizer: Tokenizer,
): RowPiece[] {
  const found: RowPiece[] = [];
  for (let begin = 0; begin < ids.length; ) {
    const special = added.has(ids[begin]);
    const trained = labels[begin] >= 0;
    let end = begin + 1;
    while (!special && end < ids.length && !added.has(ids[end]) && labels[end] >= 0 === trained) end++;
    found.push({ text: tokenizer.decode(ids.slice(begin, end)), trained, special });
    begin = end;
  }
  return found;
}
