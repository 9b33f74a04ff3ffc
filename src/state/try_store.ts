/** Trying a model: a conversation (or a text) with base and tuned model side by side. Each side goes on from its own words. */
import { create } from 'zustand';
import type { ChatTurn, Ending, RowPiece, Sampling, TryAdapter, TryInput, TryRow } from '../worker/studio_protocol.ts';
import { batched } from './batched.ts';
import type { Failure } from './model_store.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

export type Side = 'base' | 'tuned';

/** What one side wrote, so far. */
export interface Answer {
  readonly text: string;
  readonly tokens: number;
  /** Null while it is being written. */
  readonly ending: Ending | null;
}

export interface Turn {
  readonly user: string;
  readonly answers: Readonly<Record<Side, Answer | null>>;
}

export type SamplingField = 'temperature' | 'top_k' | 'top_p' | 'seed' | 'max_new_tokens';

interface SeenPrompt {
  readonly side: Side;
  readonly pieces: readonly RowPiece[];
  readonly tokens: number;
}

interface TryState {
  readonly status: 'idle' | 'waiting' | 'writing' | 'stopping';
  readonly runId: string;
  readonly kind: TryInput['kind'];
  readonly system: string;
  readonly draft: string;
  readonly turns: readonly Turn[];
  /** As typed. */
  readonly sampling: Readonly<Record<SamplingField, string>>;
  readonly strength: number;
  /** Of the adapters that there are. */
  readonly adapter: 'trained' | 'opened';
  /** What the model was given last. */
  readonly prompts: readonly SeenPrompt[];
  /** Of both sides together; null until there is something to tell. */
  readonly tokensPerSecond: number | null;
  readonly failure: Failure | null;
}

const SAMPLING: Readonly<Record<SamplingField, string>> = {
  temperature: '0.7',
  top_k: '0',
  top_p: '0.9',
  seed: '42',
  max_new_tokens: '128',
};

/** What each may be, and how it is said. */
const LIMITS: Readonly<Record<SamplingField, { least: number; most: number; whole: boolean }>> = {
  temperature: { least: 0, most: 10, whole: false },
  top_k: { least: 0, most: 1e6, whole: true },
  top_p: { least: 0, most: 1, whole: false },
  seed: { least: 0, most: 0xffffffff, whole: true },
  max_new_tokens: { least: 1, most: 4096, whole: true },
};

export const useTry = create<TryState>()(() => ({
  status: 'idle',
  runId: '',
  kind: 'chat',
  system: '',
  draft: '',
  turns: [],
  sampling: SAMPLING,
  strength: 1,
  adapter: 'trained',
  prompts: [],
  tokensPerSecond: null,
  failure: null,
}));

export function setTry(
  part: Partial<Pick<TryState, 'system' | 'draft' | 'strength' | 'adapter'>> & { kind?: TryInput['kind'] },
): void {
  useTry.setState(part);
}

export function setSampling(field: SamplingField, text: string): void {
  useTry.setState(({ sampling }) => ({ sampling: { ...sampling, [field]: text } }));
}

export const isWriting = ({ status }: Pick<TryState, 'status'>): boolean => status !== 'idle';

/** The settings as numbers, and a sentence for each that is none. */
export function checkSampling(typed: TryState['sampling']): {
  readonly errors: Partial<Record<SamplingField, string>>;
  readonly sampling: Sampling | null;
} {
  const errors: Partial<Record<SamplingField, string>> = {};
  const values: Record<string, number> = {};
  for (const [field, { least, most, whole }] of Object.entries(LIMITS)) {
    const text = typed[field as SamplingField].trim().replace(',', '.');
    const value = Number(text);
    values[field] = value;
    if (text === '' || Number.isNaN(value)) errors[field as SamplingField] = 'Enter a number.';
    else if (whole && !Number.isInteger(value)) errors[field as SamplingField] = 'Enter a whole number.';
    else if (value < least || value > most) errors[field as SamplingField] = `Enter ${least} to ${most}.`;
  }
  if (Object.keys(errors).length > 0) return { errors, sampling: null };
  const { temperature, top_k, top_p, seed, max_new_tokens } = values as Record<SamplingField, number>;
  return { errors, sampling: { temperature, top_k, top_p, seed, max_new_tokens } };
}

const sidesOf = (adapter: TryAdapter): readonly Side[] => (adapter === 'none' ? ['base'] : ['base', 'tuned']);

/** What a side is given: its own conversation, or the text. */
function inputOf({ kind, system, turns }: TryState, user: string, side: Side): TryInput {
  if (kind === 'text') return { kind, text: user };
  const messages: ChatTurn[] = system.trim() === '' ? [] : [{ role: 'system', content: system }];
  for (const turn of turns) {
    messages.push({ role: 'user', content: turn.user });
    messages.push({ role: 'assistant', content: turn.answers[side]?.text ?? '' });
  }
  return { kind, messages: [...messages, { role: 'user', content: user }] };
}

/** Sends what was typed. Nothing happens while a setting is wrong or something is written. */
export function sendDraft(adapter: TryAdapter): void {
  const state = useTry.getState();
  const { sampling } = checkSampling(state.sampling);
  const user = state.draft;
  if (isWriting(state) || !sampling || user.trim() === '') return;
  const sides = sidesOf(adapter);
  const rows: TryRow[] = sides.map((side) => ({
    input: inputOf(state, user, side),
    strength: side === 'base' ? 0 : state.strength,
  }));
  const runId = studioClient.newRunId('generate');
  const blank: Answer = { text: '', tokens: 0, ending: null };
  const turn: Turn = { user, answers: { base: blank, tuned: sides.includes('tuned') ? blank : null } };
  useTry.setState({
    status: 'waiting',
    runId,
    draft: '',
    turns: state.kind === 'text' ? [turn] : [...state.turns, turn],
    tokensPerSecond: null,
    failure: null,
  });
  studioClient.send({ type: 'generate', runId, rows, sampling, adapter });
}

export function stopWriting(): void {
  const { status, runId } = useTry.getState();
  if (status === 'idle' || status === 'stopping') return;
  useTry.setState({ status: 'stopping' });
  studioClient.send({ type: 'stop', runId });
}

/** An empty page; what was typed stays. */
export function clearTurns(): void {
  if (!isWriting(useTry.getState())) useTry.setState({ turns: [], prompts: [], tokensPerSecond: null, failure: null });
}

/** The last question again, with the settings as they are now. */
export function askAgain(adapter: TryAdapter): void {
  const state = useTry.getState();
  const last = state.turns.at(-1);
  if (isWriting(state) || !last) return;
  const { draft } = state;
  useTry.setState({ turns: state.turns.slice(0, -1), draft: last.user });
  sendDraft(adapter);
  if (isWriting(useTry.getState())) useTry.setState({ draft });
  else useTry.setState({ turns: state.turns, draft });
}

const SIDES: readonly Side[] = ['base', 'tuned'];

/** Text that came since the last flush, by row. */
let pending = new Map<number, { text: string; tokens: number }>();
/** When the first text of the answer came, and how many tokens it has brought since. */
let first: number | null = null;

const show = batched(() => {
  const { turns } = useTry.getState();
  const last = turns.at(-1);
  if (!last) return;
  const answers = { ...last.answers };
  for (const [row, { text, tokens }] of pending) {
    const side = SIDES[row]!;
    const before = answers[side];
    if (before) answers[side] = { ...before, text: before.text + text, tokens };
  }
  pending = new Map();
  const total = SIDES.reduce((sum, side) => sum + (answers[side]?.tokens ?? 0), 0);
  const seconds = first === null ? 0 : (performance.now() - first) / 1000;
  const tokensPerSecond = seconds > 0.2 ? total / seconds : useTry.getState().tokensPerSecond;
  useTry.setState({ turns: [...turns.slice(0, -1), { ...last, answers }], tokensPerSecond });
});

export function receiveForTry(signal: StudioSignal): void {
  const state = useTry.getState();
  if (!isWriting(state)) return;
  if (signal.type === 'crashed') {
    end({ name: 'WorkerError', message: signal.message });
    return;
  }
  if (!('runId' in signal) || signal.runId !== state.runId) return;
  switch (signal.type) {
    case 'prompts':
      first = null;
      useTry.setState({
        prompts: signal.prompts.map(({ pieces, tokens }, row) => ({ side: SIDES[row]!, pieces, tokens })),
      });
      break;
    case 'text': {
      first ??= performance.now();
      const before = pending.get(signal.row);
      pending.set(signal.row, { text: (before?.text ?? '') + signal.text, tokens: signal.tokens });
      if (state.status === 'waiting') useTry.setState({ status: 'writing' });
      show.request();
      break;
    }
    case 'generated': {
      show.now();
      const tokens = signal.rows.reduce((sum, row) => sum + row.tokens, 0);
      // The first token of each row is not part of the time.
      const rate = signal.seconds > 0 ? (tokens - signal.rows.length) / signal.seconds : null;
      endAnswers((_, row) => signal.rows[row]?.ending ?? 'stopped');
      useTry.setState({ status: 'idle', tokensPerSecond: rate !== null && rate > 0 ? rate : null });
      break;
    }
    case 'failed':
      end({ name: signal.name, message: signal.message });
      break;
    default:
      break;
  }
}

function endAnswers(endingOf: (side: Side, row: number) => Ending): void {
  const { turns } = useTry.getState();
  const last = turns.at(-1);
  if (!last) return;
  const ended = (side: Side, row: number) => {
    const answer = last.answers[side];
    return answer && { ...answer, ending: endingOf(side, row) };
  };
  useTry.setState({
    turns: [...turns.slice(0, -1), { ...last, answers: { base: ended('base', 0), tuned: ended('tuned', 1) } }],
  });
}

/** Where nothing was written yet, the question goes back to where it was typed. */
function end(failure: Failure): void {
  show.now();
  const { turns, draft } = useTry.getState();
  const last = turns.at(-1);
  const empty = last && SIDES.every((side) => !last.answers[side]?.text);
  if (empty) useTry.setState({ turns: turns.slice(0, -1), draft: draft || last.user });
  else endAnswers(() => 'stopped');
  useTry.setState({ status: 'idle', failure });
}

/** Another model: what the old one said is no conversation with it. */
export function forgetTry(kind: TryInput['kind']): void {
  useTry.setState({ turns: [], prompts: [], tokensPerSecond: null, failure: null, status: 'idle', runId: '', kind });
}
