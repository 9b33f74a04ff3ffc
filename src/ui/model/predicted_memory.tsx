import { usePrediction } from '../../state/prediction_store.ts';
import type { PredictedDisk, PredictedModel } from '../../worker/studio_protocol.ts';
import { bytes } from '../format.ts';
import { MemoryBar } from '../primitives/memory_bar.tsx';
import { Notice } from '../primitives/notice.tsx';
import { MemoryRemedy } from './memory_remedy.tsx';
import styles from './predicted_memory.module.css';

/** What training would take with the settings as they are: nothing is allocated for it. */
export function PredictedMemory({ of }: { readonly of: PredictedModel }) {
  const { of: predicted, prediction, problem } = usePrediction();
  if (predicted !== of) return null;
  if (problem) {
    return (
      <Notice kind="bad" title="This run does not fit">
        {problem.message}
      </Notice>
    );
  }
  if (!prediction) return null;
  const { bytes: memory, hostBytes, disk, remedy } = prediction;
  return (
    <>
      <MemoryBar memory={memory} title="GPU memory, predicted" />
      <dl className={styles.places}>
        {hostBytes > 0 && (
          <div>
            <dt>Host memory</dt>
            <dd>{bytes(hostBytes)}</dd>
          </div>
        )}
        <div>
          <dt>Disk</dt>
          <dd>{diskText(disk)}</dd>
        </div>
      </dl>
      {remedy && <MemoryRemedy remedy={remedy} />}
      {disk.left !== null && disk.run + disk.model > disk.left && (
        <Notice kind="warn" title="The disk has too little room">
          This browser gives the studio {bytes(disk.left)} more. Delete runs, free space on the disk, or lower r.
        </Notice>
      )}
    </>
  );
}

function diskText({ run, model }: PredictedDisk): string {
  const kept = model > 0 ? ` and ${bytes(model)} for the model, kept for the next time` : '';
  return `${bytes(run)} for the run’s checkpoints${kept}`;
}
