import { type Device, startDevice, useDevice } from '../../state/device_store.ts';
import { Button } from '../primitives/button.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Progress } from '../primitives/progress.tsx';
import styles from './device_facts.module.css';
import { StorageUse } from './storage_use.tsx';

/** What a feature means for training, where it means something. */
const FEATURES: readonly { readonly feature: string; readonly name: string; readonly text: string }[] = [
  { feature: 'shader-f16', name: 'f16', text: 'half-precision arithmetic' },
  { feature: 'subgroups', name: 'subgroups', text: 'faster sums' },
  { feature: 'timestamp-query', name: 'timestamps', text: 'times of single kernels' },
];

export function DeviceFacts() {
  const device = useDevice((state) => state.device);
  return (
    <div className={styles.facts}>
      <Facts device={device} />
      <StorageUse />
      {device.status === 'ready' && (
        <a href="#self-test" className={styles.check}>
          Check this GPU against PyTorch
        </a>
      )}
    </div>
  );
}

function Facts({ device }: { readonly device: Device }) {
  switch (device.status) {
    case 'starting':
      return (
        <>
          <p>Looking for a graphics adapter …</p>
          <Progress share={null} label="Looking for a graphics adapter" thin />
        </>
      );
    case 'ready': {
      const { name, features, subgroupSize } = device.adapter;
      return (
        <>
          <p className={styles.name}>{name}</p>
          <ul className={styles.features}>
            {FEATURES.map((one) => (
              <li key={one.feature} data-there={features.includes(one.feature)}>
                <strong>
                  {one.name}
                  {one.feature === 'subgroups' && subgroupSize ? ` of ${subgroupSize}` : ''}
                </strong>
                <span>{features.includes(one.feature) ? one.text : 'not here'}</span>
              </li>
            ))}
          </ul>
        </>
      );
    }
    default:
      return (
        <Notice
          kind="bad"
          title="The GPU did not answer"
          actions={
            <Button small onClick={startDevice}>
              Try again
            </Button>
          }
        >
          {'message' in device ? device.message : ''}
        </Notice>
      );
  }
}
