import { resumeTraining, stopTraining, useRun } from '../../state/run_store.ts';
import { Button } from '../primitives/button.tsx';
import { LinkButton } from '../primitives/link_button.tsx';
import { Notice } from '../primitives/notice.tsx';
import { EvictedModels } from '../runs/evicted_models.tsx';

/** What happens to a run that is kept: a disk that is full, a resumption, a lost GPU. */
export function RunNotices() {
  const { saveFailure, status, checkpointStep, notes } = useRun();
  return (
    <>
      {saveFailure && (
        <Notice
          kind="bad"
          title="The checkpoint was not written"
          actions={
            status === 'paused' && (
              <>
                <LinkButton href="#runs">Free space in Runs</LinkButton>
                <Button small onClick={resumeTraining}>
                  Try again and go on
                </Button>
                <Button small onClick={stopTraining}>
                  Stop and export
                </Button>
              </>
            )
          }
        >
          {saveFailure.message} {checkpointStep === null ? '' : `The checkpoint of step ${checkpointStep} is intact. `}
          {status === 'paused' && 'The run waits.'}
        </Notice>
      )}
      <EvictedModels />
      {notes.map((note) => (
        <Notice key={note} kind="info">
          {note}
        </Notice>
      ))}
    </>
  );
}
