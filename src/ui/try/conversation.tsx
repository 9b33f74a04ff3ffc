import { type FormEvent, type KeyboardEvent, useEffect, useRef } from 'react';
import {
  type Answer,
  askAgain,
  checkSampling,
  clearTurns,
  isWriting,
  type Side,
  sendDraft,
  setTry,
  stopWriting,
  type Turn,
  useTry,
} from '../../state/try_store.ts';
import type { Ending, TryAdapter } from '../../worker/studio_protocol.ts';
import { compact, plural } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';
import styles from './conversation.module.css';

const NAMES: Readonly<Record<Side, string>> = { base: 'Base model', tuned: 'With the adapter' };
const ENDINGS: Readonly<Record<Ending, string>> = {
  'end of turn': '',
  length: 'cut at max_new_tokens',
  context: 'no room left in the context',
  stopped: 'stopped',
};

export function Conversation({ adapter }: { readonly adapter: TryAdapter }) {
  const { turns, kind, failure, tokensPerSecond } = useTry();
  const writing = useTry(isWriting);
  return (
    <Panel
      title={kind === 'chat' ? 'Conversation' : 'Text'}
      lead={
        kind === 'chat'
          ? 'Through the model’s own chat template. Each side goes on from its own answers.'
          : 'Continued as it stands, without a chat template.'
      }
      actions={
        turns.length > 0 && (
          <>
            <Button small disabled={writing} onClick={() => askAgain(adapter)}>
              Ask again
            </Button>
            <Button small disabled={writing} onClick={clearTurns}>
              Clear
            </Button>
          </>
        )
      }
    >
      <ol className={styles.turns} aria-label="Questions and answers">
        {turns.map((turn, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: turns are only added and taken away at the end.
          <TurnView key={i} turn={turn} />
        ))}
      </ol>
      {failure && (
        <Notice kind="bad" title="This could not be written">
          {failure.message}
        </Notice>
      )}
      <Composer adapter={adapter} />
      <p className={styles.state} role="status">
        {writing ? <Writing /> : tokensPerSecond !== null && `${compact(tokensPerSecond)} tokens/s`}
      </p>
    </Panel>
  );
}

function Writing() {
  const status = useTry((state) => state.status);
  const rate = useTry((state) => state.tokensPerSecond);
  if (status === 'waiting') return 'Reading the prompt …';
  if (status === 'stopping') return 'Stopping …';
  // A figure that changes ten times a second is not for reading out.
  return (
    <>
      Writing …{' '}
      <span aria-hidden="true" className={styles.rate}>
        {rate !== null && `${compact(rate)} tokens/s`}
      </span>
    </>
  );
}

function TurnView({ turn }: { readonly turn: Turn }) {
  const { base, tuned } = turn.answers;
  return (
    <li className={styles.turn}>
      <p className={styles.user}>
        <span className="unseen">You: </span>
        {turn.user}
      </p>
      <div className={styles.answers} data-sides={tuned ? 2 : 1}>
        {base && <AnswerView side="base" answer={base} />}
        {tuned && <AnswerView side="tuned" answer={tuned} />}
      </div>
    </li>
  );
}

function AnswerView({ side, answer }: { readonly side: Side; readonly answer: Answer }) {
  const note = answer.ending ? ENDINGS[answer.ending] : '';
  return (
    <section className={styles.answer} data-side={side} aria-label={NAMES[side]} aria-busy={answer.ending === null}>
      <h3 className={styles.side}>
        {NAMES[side]}
        <span className={styles.count}>
          {answer.tokens > 0 && plural(answer.tokens, 'token')}
          {note && `, ${note}`}
        </span>
      </h3>
      <p className={styles.text}>
        {answer.text}
        {answer.ending === null && <span className={styles.caret} aria-hidden="true" />}
        {answer.ending !== null && answer.text === '' && <span className={styles.nothing}>(nothing)</span>}
      </p>
    </section>
  );
}

function Composer({ adapter }: { readonly adapter: TryAdapter }) {
  const draft = useTry((state) => state.draft);
  const kind = useTry((state) => state.kind);
  const writing = useTry(isWriting);
  const stopping = useTry((state) => state.status === 'stopping');
  const wrong = useTry((state) => checkSampling(state.sampling).sampling === null);
  const field = useRef<HTMLTextAreaElement>(null);
  // The button that was pressed becomes another one: typing goes on where it was.
  useEffect(() => {
    if (!writing && document.activeElement === document.body) field.current?.focus({ preventScroll: true });
  }, [writing]);
  const send = (event?: FormEvent) => {
    event?.preventDefault();
    sendDraft(adapter);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <form className={styles.composer} onSubmit={send}>
      <textarea
        ref={field}
        className={styles.draft}
        aria-label={kind === 'chat' ? 'Your message' : 'Text to go on with'}
        placeholder={kind === 'chat' ? 'Ask something …' : 'Once upon a time …'}
        rows={3}
        value={draft}
        onChange={({ currentTarget }) => setTry({ draft: currentTarget.value })}
        onKeyDown={onKeyDown}
      />
      {writing ? (
        <Button kind="danger" busy={stopping} onClick={stopWriting}>
          <Icon name="stop" /> Stop
        </Button>
      ) : (
        <Button kind="primary" type="submit" disabled={wrong || draft.trim() === ''}>
          Send <Icon name="chevron" />
        </Button>
      )}
    </form>
  );
}
