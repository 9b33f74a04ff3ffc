import { Dialog } from '@base-ui/react/dialog';
import type { ReactNode } from 'react';
import closeStyles from './close_button.module.css';
import { Icon } from './icon.tsx';
import styles from './modal.module.css';

/** The window of a Dialog.Root. */
export function Modal({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <Dialog.Portal>
      <Dialog.Backdrop className={styles.veil} />
      <Dialog.Popup className={styles.window}>
        <div className={styles.head}>
          <Dialog.Title>{title}</Dialog.Title>
          <Dialog.Close className={closeStyles.close} aria-label="Close">
            <Icon name="close" />
          </Dialog.Close>
        </div>
        {children}
      </Dialog.Popup>
    </Dialog.Portal>
  );
}
