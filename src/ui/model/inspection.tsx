import { closeInspection, type Inspection as InspectionState, inspectModel } from '../../state/model_store.ts';
import { Button } from '../primitives/button.tsx';
import { CloseButton } from '../primitives/close_button.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';
import { Progress } from '../primitives/progress.tsx';
import { GatedModel } from './gated_model.tsx';
import { InspectedModel } from './inspected_model.tsx';
import { locationName } from './location_name.ts';

/** What is known of a model before any of its weights is read. */
export function Inspection({ inspection }: { readonly inspection: Exclude<InspectionState, { status: 'none' }> }) {
  const { location } = inspection;
  const name = locationName(location);
  const close = <CloseButton label={`Close ${name}`} onClick={closeInspection} />;
  switch (inspection.status) {
    case 'running':
      return (
        <Panel title={name} lead="Reading config.json and the list of files …" actions={close}>
          <Progress share={null} label={`Looking at ${name}`} thin />
        </Panel>
      );
    case 'ready':
      return (
        <Panel title={name} lead={locationText(inspection.info.commit)} actions={close}>
          <InspectedModel location={location} info={inspection.info} />
        </Panel>
      );
    case 'failed': {
      const { failure } = inspection;
      return (
        <Panel title={name} actions={close}>
          {failure.name === 'GatedModelError' ? (
            <GatedModel name={name} message={failure.message} onRetry={() => inspectModel(location)} />
          ) : (
            <Notice
              kind="bad"
              title={titleOf(failure.name)}
              actions={
                <Button small onClick={() => inspectModel(location)}>
                  Look again
                </Button>
              }
            >
              {failure.message}
            </Notice>
          )}
        </Panel>
      );
    }
    default:
      return inspection satisfies never;
  }
}

function locationText(commit: string | null): string {
  return commit ? `Hugging Face Hub, commit ${commit.slice(0, 8)}` : 'A folder on this computer';
}

function titleOf(name: string): string {
  if (name === 'UnknownArchitectureError') return 'Not supported here yet';
  if (name === 'ModelNotFoundError') return 'There is no such model';
  if (name === 'OfflineError') return 'The Hub cannot be reached';
  return 'This model cannot be used';
}
