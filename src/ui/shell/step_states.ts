import { useAdapter } from '../../state/adapter_store.ts';
import { useData } from '../../state/data_store.ts';
import { isEvaluating, useEvaluation } from '../../state/evaluation_store.ts';
import { useModel } from '../../state/model_store.ts';
import type { Step } from '../../state/navigation.ts';
import { isActive, useRun, useTrained } from '../../state/run_store.ts';
import { isWriting, useTry } from '../../state/try_store.ts';
import { bytes, percent, plural } from '../format.ts';
import { useTryAdapter } from '../try/use_try_adapter.ts';

export interface StepState {
  readonly bit: 'none' | 'busy' | 'done' | 'bad';
  /** What is there, in a few words. */
  readonly note: string;
}

export function useStepStates(): Readonly<Record<Step, StepState>> {
  return {
    model: useModelState(),
    data: useDataState(),
    train: useTrainState(),
    try: useTryState(),
    export: useExportState(),
  };
}

function useModelState(): StepState {
  const { loading, loaded } = useModel();
  if (loading?.status === 'failed') return { bit: 'bad', note: 'not loaded' };
  if (loading) {
    const { progress } = loading;
    const share = progress ? progress.loadedBytes / Math.max(1, progress.totalBytes) : 0;
    return { bit: 'busy', note: loading.status === 'paused' ? 'paused' : `loading ${percent(share)}` };
  }
  return loaded ? { bit: 'done', note: loaded.info.name.split('/').at(-1) ?? '' } : { bit: 'none', note: 'none yet' };
}

function useDataState(): StepState {
  const { status, summary } = useData();
  switch (status) {
    case 'none':
      return { bit: 'none', note: 'none yet' };
    case 'waiting':
      return { bit: 'none', note: 'not read yet' };
    case 'reading':
    case 'tokenizing':
      return { bit: 'busy', note: status };
    case 'failed':
      return { bit: 'bad', note: 'not usable' };
    default:
      return { bit: 'done', note: plural(summary?.examples ?? 0, 'example') };
  }
}

function useTrainState(): StepState {
  const status = useRun((state) => state.status);
  const step = useRun((state) => state.latest?.step ?? 0);
  const total = useRun((state) => state.totalSteps);
  const continued = useAdapter((state) => state.start !== null);
  if (isActive(status)) {
    const note = status === 'starting' ? 'starting' : `${status === 'paused' ? 'paused at ' : ''}${step} of ${total}`;
    return { bit: 'busy', note };
  }
  if (status === 'finished') return { bit: 'done', note: plural(step, 'step') };
  if (status === 'failed') return { bit: 'bad', note: `failed at ${step}` };
  return { bit: 'none', note: continued ? 'from an adapter' : 'not started' };
}

function useTryState(): StepState {
  const writing = useTry(isWriting);
  const evaluating = useEvaluation(isEvaluating);
  const turns = useTry((state) => state.turns.length);
  const loaded = useModel((state) => state.loaded !== null);
  const adapter = useTryAdapter();
  if (writing) return { bit: 'busy', note: 'writing' };
  if (evaluating) return { bit: 'busy', note: 'evaluating' };
  if (!loaded) return { bit: 'none', note: 'no model yet' };
  return { bit: turns > 0 ? 'done' : 'none', note: adapter === 'none' ? 'base model' : 'base and tuned' };
}

function useExportState(): StepState {
  const trained = useTrained((state) => state.trained);
  if (!trained) return { bit: 'none', note: 'nothing yet' };
  return { bit: 'done', note: bytes(trained.files.reduce((sum, file) => sum + file.bytes.byteLength, 0)) };
}
