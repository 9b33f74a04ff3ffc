import { Dialog } from '@base-ui/react/dialog';
import { useEffect, useState } from 'react';
import { useDevice } from '../../state/device_store.ts';
import { useNavigation } from '../../state/navigation.ts';
import { Icon } from '../primitives/icon.tsx';
import { Modal } from '../primitives/modal.tsx';
import { DeviceFacts } from '../start/device_facts.tsx';
import styles from './tool.module.css';

/** The GPU at hand, from every screen. */
export function DeviceButton() {
  const device = useDevice((state) => state.device);
  const screen = useNavigation((state) => state.screen);
  const [open, setOpen] = useState(false);
  // A link in it leads to another screen.
  // biome-ignore lint/correctness/useExhaustiveDependencies: for the change alone.
  useEffect(() => setOpen(false), [screen]);
  const name = device.status === 'ready' ? device.adapter.name : 'GPU';
  return (
    <Dialog.Root open={open} onOpenChange={setOpen}>
      <Dialog.Trigger className={styles.tool} aria-label={`Device: ${name}`}>
        <Icon name="chip" size={18} />
        <span className={styles.label}>{name}</span>
      </Dialog.Trigger>
      <Modal title="This device">
        <DeviceFacts />
      </Modal>
    </Dialog.Root>
  );
}
