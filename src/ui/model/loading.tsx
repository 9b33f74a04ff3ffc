import {
  cancelLoading,
  type Loading as LoadingState,
  loadModel,
  pauseLoading,
  resumeLoading,
} from '../../state/model_store.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';
import { GatedModel } from './gated_model.tsx';
import { LoadProgress } from './load_progress.tsx';
import styles from './loading.module.css';
import { RetryNotice } from './retry_notice.tsx';

export function Loading({ loading }: { readonly loading: LoadingState }) {
  const { status, info, location, quantization, progress, retry, failure } = loading;
  const again = () => loadModel(location, info, quantization);
  return (
    <Panel title={info.name} lead={LEADS[status]}>
      {failure?.name === 'GatedModelError' ? (
        <GatedModel name={info.name} message={failure.message} onRetry={again} />
      ) : (
        failure && (
          <Notice kind="bad" title="The model was not loaded" actions={<Button onClick={again}>Try again</Button>}>
            {failure.message}
          </Notice>
        )
      )}
      {!failure && (
        <LoadProgress progress={progress} held={status === 'paused'} total={info.downloadBytes} name={info.name} />
      )}
      {retry && <RetryNotice retry={retry} />}
      <div className={styles.actions}>
        {(status === 'running' || status === 'pausing') && (
          <Button onClick={pauseLoading} busy={status === 'pausing'}>
            <Icon name="pause" /> Pause
          </Button>
        )}
        {(status === 'paused' || status === 'resuming') && (
          <Button kind="primary" onClick={resumeLoading} busy={status === 'resuming'}>
            <Icon name="play" /> Resume
          </Button>
        )}
        <Button kind={failure ? 'plain' : 'danger'} busy={status === 'cancelling'} onClick={cancelLoading}>
          {failure ? 'Close' : 'Cancel'}
        </Button>
      </div>
    </Panel>
  );
}

const LEADS: Readonly<Record<LoadingState['status'], string>> = {
  running: 'Downloading; weights are quantized to 4 bits on the GPU as they arrive.',
  pausing: 'Pausing …',
  paused: 'Paused. It goes on where it stopped.',
  resuming: 'Going on …',
  cancelling: 'Cancelling …',
  failed: 'Loading ended early.',
};
