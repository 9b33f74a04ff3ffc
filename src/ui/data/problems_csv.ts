/** Problems as CSV, for whoever mends the data in a spreadsheet. */
import type { LeftOut } from '../../worker/protocol.ts';

const COLUMNS = ['file', 'line', 'field', 'kind', 'reason'] as const;

export function problemsCsv(problems: readonly LeftOut[]): string {
  const rows = problems.map((problem) => COLUMNS.map((column) => cell(String(problem[column]))).join(','));
  return `${COLUMNS.join(',')}\r\n${rows.map((row) => `${row}\r\n`).join('')}`;
}

/** Quoted where it must be; what a spreadsheet would take for a formula gets an apostrophe before it. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
