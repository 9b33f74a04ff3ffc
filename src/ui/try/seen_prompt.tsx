import { useTry } from '../../state/try_store.ts';
import { RowText } from '../data/row_text.tsx';
import { plural } from '../format.ts';
import { Panel } from '../primitives/panel.tsx';
import styles from './seen_prompt.module.css';

/** What the model was given for its last answer, token by token. Both sides get the same until their answers differ. */
export function SeenPrompt() {
  const prompts = useTry((state) => state.prompts);
  const [base, tuned] = prompts;
  if (!base) return null;
  const text = (pieces: typeof base.pieces) => pieces.map((piece) => piece.text).join('');
  const differ = tuned !== undefined && text(tuned.pieces) !== text(base.pieces);
  return (
    <Panel title="The prompt as the model sees it">
      <details className={styles.details}>
        <summary>
          {plural(base.tokens, 'token')}
          {differ ? ` for the base model, ${plural(tuned.tokens, 'token')} with the adapter` : ''}
        </summary>
        <RowText pieces={base.pieces} label={differ ? 'The base model’s prompt' : 'The prompt'} />
        {differ && <RowText pieces={tuned.pieces} label="The prompt with the adapter" />}
      </details>
    </Panel>
  );
}
