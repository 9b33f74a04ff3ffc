import { useState } from 'react';
import { forgetToken, giveToken, useToken } from '../../state/token_store.ts';
import { Button } from '../primitives/button.tsx';
import { Input } from '../primitives/input.tsx';
import { Notice } from '../primitives/notice.tsx';
import styles from './gated_model.module.css';

interface Props {
  readonly name: string;
  readonly message: string;
  readonly onRetry: () => void;
}

/** Asks for an access token, hands it to the worker and forgets it here. */
export function GatedModel({ name, message, onRetry }: Props) {
  const held = useToken((state) => state.held);
  const [token, setToken] = useState('');
  return (
    <form
      className={styles.gated}
      onSubmit={(event) => {
        event.preventDefault();
        if (token.trim() === '') return;
        giveToken(token.trim());
        setToken('');
        onRetry();
      }}
    >
      <Notice kind="warn" title={held ? 'The token was not enough' : 'This model is gated'}>
        {message}
      </Notice>
      <ol className={styles.steps}>
        <li>
          Accept the conditions on{' '}
          <a href={`https://huggingface.co/${name}`} target="_blank" rel="noreferrer">
            the model’s page
          </a>
          .
        </li>
        <li>
          Make a token with read access at{' '}
          <a href="https://huggingface.co/settings/tokens" target="_blank" rel="noreferrer">
            huggingface.co/settings/tokens
          </a>
          .
        </li>
        <li>
          <label htmlFor="hub-token">Paste it here</label>
        </li>
      </ol>
      <Input
        id="hub-token"
        type="password"
        placeholder="hf_…"
        autoComplete="off"
        value={token}
        aria-describedby="hub-token-help"
        onChange={({ currentTarget }) => setToken(currentTarget.value)}
      />
      <p id="hub-token-help" className={styles.help}>
        Kept in memory only, sent to huggingface.co only, gone when this tab closes.
      </p>
      <div className={styles.actions}>
        <Button type="submit" kind="primary" disabled={token.trim() === ''}>
          Look again with the token
        </Button>
        {held && (
          <Button kind="quiet" onClick={forgetToken}>
            Forget the token
          </Button>
        )}
      </div>
    </form>
  );
}
