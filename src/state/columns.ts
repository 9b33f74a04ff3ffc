/** Columns that are mapped by hand: what they can be for, and whether a mapping says enough. */
import type { ColumnRoles } from '../formats/run_config.ts';

export type ColumnRole = ColumnRoles[string];

export const COLUMN_ROLES: readonly ColumnRole[] = [
  'user',
  'assistant',
  'system',
  'prompt',
  'completion',
  'text',
  'messages',
];

/** Why a mapping says nothing to train on, or null when it does. */
export function mappingError(columns: ColumnRoles): string | null {
  const roles = new Set(Object.values(columns));
  const ways = [
    roles.has('text'),
    roles.has('prompt') || roles.has('completion'),
    roles.has('user') || roles.has('assistant') || roles.has('system'),
    roles.has('messages'),
  ].filter(Boolean).length;
  if (ways === 0) return 'Say which column holds what: user and assistant, prompt and completion, or text.';
  if (ways > 1) return 'Choose one way: a conversation (user, assistant), prompt and completion, text, or messages.';
  if (roles.has('prompt') !== roles.has('completion')) return 'A prompt needs a completion, and a completion a prompt.';
  if ((roles.has('user') || roles.has('system')) && !roles.has('assistant')) {
    return 'Say which column is the assistant’s: its words are what is trained.';
  }
  return null;
}
