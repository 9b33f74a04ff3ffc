import { useRun, useTrained } from '../../state/run_store.ts';
import { useStorage } from '../../state/storage_store.ts';
import { loss, plural } from '../format.ts';
import { LinkButton } from '../primitives/link_button.tsx';
import { Notice } from '../primitives/notice.tsx';

/** How the run ended and what there is to do now. */
export function RunOutcome() {
  const { status, failure, request, totalSteps } = useRun();
  const trained = useTrained((state) => state.trained);
  const stored = useStorage(({ facts }) => facts !== null && facts.volatile === null);
  const kept = trained !== null && trained.request === request;
  if (status === 'finished' && kept) {
    return (
      <Notice kind="good" title={trained.outcome === 'stopped' ? 'Stopped, and kept' : 'Trained'}>
        {plural(trained.steps, 'step')}
        {trained.outcome === 'finished' &&
          trained.steps < totalSteps &&
          ', ended early: the validation loss no longer fell'}
        .
        {trained.kept &&
          ` The adapter is that of step ${trained.kept.step}, with a validation loss of ${loss(trained.kept.loss)}.`}{' '}
        {stored
          ? 'This browser keeps it under Runs, with its last checkpoints; the adapter is a file that you can take along.'
          : 'The adapter is in memory: take it home before this tab closes.'}
      </Notice>
    );
  }
  if (status !== 'failed' || !failure) return null;
  return (
    <Notice
      kind="bad"
      title={TITLES[failure.name] ?? 'The run ended early'}
      actions={kept && <LinkButton href="#export">Take the adapter of the last good step</LinkButton>}
    >
      {failure.message} {ADVICE[failure.name] ?? ''}
    </Notice>
  );
}

const TITLES: Readonly<Record<string, string>> = {
  NonFiniteLossError: 'The loss is no longer a number',
  GpuMemoryError: 'The GPU’s memory is full',
  DeviceLostError: 'The GPU went away',
};

const ADVICE: Readonly<Record<string, string>> = {
  NonFiniteLossError: 'A learning_rate of a third, or some warmup_steps, usually mends it.',
  GpuMemoryError: 'A shorter max_length or a smaller batch needs less; so do a paged optim and a weight_memory_budget.',
  DeviceLostError: 'Load the model again; close other pages that use the GPU.',
};
