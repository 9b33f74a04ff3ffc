/** The repository's folder, and how the bootstrap ends when it cannot go on. Plain Node: nothing is installed yet. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** Ends the program with a message that says what to do. */
export function giveUp(message) {
  console.error(`\n${message}\n`);
  process.exit(1);
}
