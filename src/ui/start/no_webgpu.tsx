import { startDevice } from '../../state/device_store.ts';
import { Button } from '../primitives/button.tsx';
import { Screen } from '../primitives/screen.tsx';
import { BROWSER_HELP, type BrowserHelp, browserOf } from './browser_help.ts';
import styles from './no_webgpu.module.css';

type Reason =
  | { readonly kind: 'no-webgpu'; readonly secure: boolean }
  | { readonly kind: 'no-adapter'; readonly message: string };

/** The page without a GPU: what to do, for this browser first. */
export function NoWebGpu({ reason }: { readonly reason: Reason }) {
  const own = browserOf(navigator.userAgent);
  const help = BROWSER_HELP.find(({ id }) => id === own);
  const others = BROWSER_HELP.filter(({ id }) => id !== own);
  const insecure = reason.kind === 'no-webgpu' && !reason.secure;
  return (
    <Screen
      title={reason.kind === 'no-adapter' ? 'No graphics adapter answered' : 'This browser has no WebGPU'}
      lead={leadOf(reason)}
    >
      <div className={styles.help}>
        {insecure ? (
          <section className={styles.own}>
            <h2>Open this page securely</h2>
            <p>
              Browsers offer WebGPU to secure pages only: use https, or localhost on this computer. This address is{' '}
              <code>{location.origin}</code>.
            </p>
          </section>
        ) : (
          help && <Own help={help} adapter={reason.kind === 'no-adapter'} />
        )}
        <section aria-label="Other browsers" className={styles.others}>
          {others.map((one) => (
            <details key={one.id}>
              <summary>{one.name}</summary>
              <Steps steps={one.steps} />
            </details>
          ))}
        </section>
      </div>
    </Screen>
  );
}

function Own({ help, adapter }: { readonly help: BrowserHelp; readonly adapter: boolean }) {
  return (
    <section className={styles.own}>
      <p className={styles.here}>You are here</p>
      <h2>{help.name}</h2>
      <Steps steps={help.steps} />
      <div className={styles.actions}>
        <Button kind="primary" onClick={adapter ? startDevice : () => location.reload()}>
          Try again
        </Button>
      </div>
    </section>
  );
}

function Steps({ steps }: { readonly steps: readonly string[] }) {
  return (
    <ol className={styles.steps}>
      {steps.map((step) => (
        <li key={step}>{step}</li>
      ))}
    </ol>
  );
}

function leadOf(reason: Reason): string {
  if (reason.kind === 'no-adapter') return reason.message;
  return 'Nibble Studio trains on your own graphics card, and WebGPU is how a page reaches it. It is there in current browsers; this is how to get it.';
}
