import { usePrediction } from '../../state/prediction_store.ts';
import type { PredictedModel } from '../../worker/studio_protocol.ts';
import { MemoryBar } from '../primitives/memory_bar.tsx';
import { Notice } from '../primitives/notice.tsx';

/** What training would take with the settings as they are: nothing is allocated for it. */
export function PredictedMemory({ of }: { readonly of: PredictedModel }) {
  const { of: predicted, prediction, problem } = usePrediction();
  if (predicted !== of) return null;
  if (problem) {
    return (
      <Notice kind="bad" title="This run does not fit">
        {problem}
      </Notice>
    );
  }
  return prediction && <MemoryBar memory={prediction.bytes} title="GPU memory, predicted" />;
}
