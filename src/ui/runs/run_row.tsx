import { useState } from 'react';
import { goTo } from '../../state/navigation.ts';
import { isActive, resumeStoredRun, useRun } from '../../state/run_store.ts';
import { deleteRun, useStorage } from '../../state/storage_store.ts';
import type { RunSummary } from '../../worker/studio_protocol.ts';
import { bytes, count, loss } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { CompareChoice } from './compare_choice.tsx';
import styles from './runs.module.css';
import { Sparkline } from './sparkline.tsx';

export function RunRow({ run }: { readonly run: RunSummary }) {
  const { id, name, model, checkpointStep, totalSteps, losses, open, reason, created, request } = run;
  const [asked, setAsked] = useState(false);
  const busy = useRun((state) => isActive(state.status));
  const deleting = useStorage((state) => state.deleting === id);
  const left = totalSteps - checkpointStep;
  const goOn = (maxSteps?: number) => {
    resumeStoredRun(run, maxSteps);
    goTo('train');
  };
  return (
    <li className={styles.run}>
      <div className={styles.what}>
        <h2>{name}</h2>
        <p>{model.name}</p>
        <p className={styles.note}>
          {new Date(created).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'short' })}, r {request.lora.r},{' '}
          learning_rate {request.training.learning_rate}, {bytes(run.bytes)} on the disk
        </p>
        {reason && <p className={styles.reason}>{reason}</p>}
      </div>
      <Sparkline values={losses} />
      <p className={styles.state}>
        <strong>{open ? 'Training in a tab' : STATES[run.state]}</strong>
        <span>
          checkpoint at {count(checkpointStep)} of {count(totalSteps)}
        </span>
        {losses.length > 0 && <span>loss {loss(losses[losses.length - 1])}</span>}
      </p>
      <div className={styles.actions}>
        <CompareChoice run={run} />
        {left > 0 && !open && (
          <Button kind="primary" disabled={busy} onClick={() => goOn()}>
            <Icon name="play" /> Resume from step {count(checkpointStep)}
          </Button>
        )}
        {left <= 0 && !open && (
          <Button disabled={busy} onClick={() => goOn(2 * totalSteps)}>
            <Icon name="play" /> Continue to step {count(2 * totalSteps)}
          </Button>
        )}
        {asked ? (
          <Button kind="danger" busy={deleting} onClick={() => deleteRun(id)}>
            Delete for good
          </Button>
        ) : (
          <Button disabled={open} aria-label={`Delete ${name}`} onClick={() => setAsked(true)}>
            Delete
          </Button>
        )}
      </div>
    </li>
  );
}

const STATES: Readonly<Record<RunSummary['state'], string>> = {
  running: 'Training',
  interrupted: 'Interrupted',
  paused: 'Paused',
  finished: 'Finished',
  stopped: 'Stopped',
  failed: 'Failed',
};
