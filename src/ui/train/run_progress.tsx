import {
  activeTime,
  isActive,
  pauseTraining,
  type RunStatus,
  resumeTraining,
  stopTraining,
  timeLeft,
  useRun,
} from '../../state/run_store.ts';
import type { PrecisionChoice, PreparingStage } from '../../worker/studio_protocol.ts';
import { count, duration } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Progress } from '../primitives/progress.tsx';
import { useNow } from '../primitives/use_now.ts';
import styles from './run_progress.module.css';

/** How far the run is, how long it takes, and the ways to hold or end it. */
export function RunProgress() {
  const run = useRun();
  const { status, latest, totalSteps, memory, stage, precision, checkpointStep } = run;
  const active = isActive(status);
  const now = useNow(active && status !== 'paused' ? 1000 : null);
  const step = latest?.step ?? 0;
  const state = status === 'starting' ? STARTING[memory ? 'made' : stage] : STATES[status];
  const left = timeLeft(run, Math.max(now, run.since ?? 0));
  return (
    <section className={styles.progress} aria-label="Progress">
      <div className={styles.line}>
        <p className={styles.step}>
          <strong>{step === 0 && active ? 'Starting' : `Step ${count(step)}`}</strong>
          {step > 0 && <span> of {count(totalSteps)}</span>}
          <span className={styles.state}>{state}</span>
        </p>
        <p className={styles.times}>
          <span>{duration(activeTime(run, Math.max(now, run.since ?? 0)) / 1000)} elapsed</span>
          {active && left !== null && <span>{duration(left / 1000)} left</span>}
          {checkpointStep !== null && checkpointStep > 0 && <span>checkpoint at step {count(checkpointStep)}</span>}
        </p>
        {active && <Controls status={status} />}
      </div>
      <Progress
        share={step === 0 && active ? null : step / Math.max(1, totalSteps)}
        label="Training"
        held={status === 'paused' || status === 'failed'}
      />
      {precision?.errors && <p className={styles.precision}>{told(precision)}</p>}
      <p className="unseen" role="status">
        {status === 'training' ? spoken(step, totalSteps) : state}
      </p>
    </section>
  );
}

function Controls({ status }: { readonly status: RunStatus }) {
  const held = status === 'paused' || status === 'resuming';
  return (
    <div className={styles.controls}>
      {held ? (
        <Button kind="primary" busy={status === 'resuming'} onClick={resumeTraining}>
          <Icon name="play" /> Resume
        </Button>
      ) : (
        <Button
          disabled={status === 'starting' || status === 'stopping'}
          busy={status === 'pausing'}
          onClick={pauseTraining}
        >
          <Icon name="pause" /> Pause
        </Button>
      )}
      <Button kind="danger" busy={status === 'stopping'} onClick={stopTraining}>
        <Icon name="stop" /> Stop and keep
      </Button>
    </div>
  );
}

const STATES: Readonly<Record<RunStatus, string>> = {
  none: '',
  starting: '',
  training: '',
  pausing: 'Pausing after this step …',
  paused: 'Paused',
  resuming: 'Going on …',
  stopping: 'Stopping after this step …',
  finished: 'Finished',
  failed: 'Failed',
};

/** The trainer has told of its memory: it is made. */
const STARTING: Readonly<Record<PreparingStage | 'made', string>> = {
  loading: 'Loading the model from this disk …',
  checking: 'Comparing half precision with full on this model …',
  measuring: 'Finding the fastest kernels for this GPU …',
  compiling: 'Compiling the shaders …',
  made: 'Computing the first step …',
};

/** Which precision the run has, and why. */
function told({ precision, errors }: PrecisionChoice): string {
  const percent = errors ? `${(100 * errors.gradient).toFixed(2)} %` : '';
  return precision === 'f16'
    ? `Half-precision matrices and activations: on a first row its gradients were within ${percent} of full precision.`
    : 'Full precision: in half precision this model’s gradients were too far off on this GPU.';
}

/** Told at every tenth of the run, not at every step. */
function spoken(step: number, total: number): string {
  return `${Math.floor((step / Math.max(1, total)) * 10) * 10} % trained`;
}
