import { startDevice, useDevice } from '../../state/device_store.ts';
import { Button } from '../primitives/button.tsx';
import { Notice } from '../primitives/notice.tsx';
import styles from './crash_notice.module.css';

/** The worker died, or the GPU failed in a way that another browser would not mend. */
export function CrashNotice() {
  const device = useDevice((state) => state.device);
  if (device.status !== 'failed') return null;
  return (
    <div className={styles.place}>
      <Notice
        kind="bad"
        title="The engine stopped"
        actions={
          <Button small onClick={startDevice}>
            Start it again
          </Button>
        }
      >
        {device.message} The model has to be loaded again; an adapter that was trained is still under Export.
      </Notice>
    </div>
  );
}
