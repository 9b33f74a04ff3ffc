/** Rows of a dropped file, cut into words and coloured as a tokenizer and a chat template would. */
import type { DataSettings, PreviewRow, RowPiece } from '../../worker/studio_protocol.ts';

interface Message {
  readonly role: string;
  readonly content: string;
}

export interface FakeDataset {
  readonly rows: readonly PreviewRow[];
  readonly dropped: readonly { line: number; reason: string }[];
  readonly truncated: number;
}

export function readRows(text: string, settings: DataSettings): FakeDataset {
  const dropped: { line: number; reason: string }[] = [];
  const rows: PreviewRow[] = [];
  let truncated = 0;
  for (const [at, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const messages = parse(line);
    if (typeof messages === 'string') {
      dropped.push({ line: at + 1, reason: messages });
      continue;
    }
    const whole = messages.flatMap((message) => piecesOf(message, settings.assistant_only_loss));
    const pieces = cut(whole, settings.max_length);
    if (pieces !== whole) truncated++;
    rows.push({
      index: rows.length,
      tokens: count(pieces),
      trainedTokens: count(pieces.filter(({ trained }) => trained)),
      pieces,
    });
  }
  return { rows, dropped, truncated };
}

function parse(line: string): readonly Message[] | string {
  let row: { messages?: Message[]; text?: string; prompt?: string; completion?: string };
  try {
    row = JSON.parse(line);
  } catch {
    return 'The line is not JSON: Unexpected end of the line at column 41.';
  }
  if (row.messages?.length === 0) return 'messages is empty.';
  if (row.messages) return row.messages;
  if (row.text !== undefined) return [{ role: 'assistant', content: row.text }];
  if (row.prompt === undefined) return 'The row has none of messages, prompt and completion, text.';
  return [
    { role: 'user', content: row.prompt },
    { role: 'assistant', content: row.completion ?? '' },
  ];
}

function piecesOf({ role, content }: Message, assistantOnly: boolean): RowPiece[] {
  const trained = role === 'assistant' || !assistantOnly;
  return [
    { text: '<|im_start|>', trained: false, special: true },
    { text: `${role}\n`, trained: false, special: false },
    { text: content, trained, special: false },
    { text: '<|im_end|>', trained, special: true },
    { text: '\n', trained: false, special: false },
  ];
}

const words = (text: string) => text.match(/\s*\S+|\s+/g) ?? [];
const size = (piece: RowPiece) => (piece.special ? 1 : words(piece.text).length);
const count = (pieces: readonly RowPiece[]) => pieces.reduce((sum, piece) => sum + size(piece), 0);

function cut(pieces: readonly RowPiece[], most: number): readonly RowPiece[] {
  if (count(pieces) <= most) return pieces;
  const kept: RowPiece[] = [];
  let left = most;
  for (const piece of pieces) {
    if (left <= 0) break;
    kept.push(size(piece) <= left ? piece : { ...piece, text: words(piece.text).slice(0, left).join('') });
    left -= size(piece);
  }
  return kept;
}
