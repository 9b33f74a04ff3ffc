import styles from './close_button.module.css';
import { Icon } from './icon.tsx';

export function CloseButton({ label, onClick }: { readonly label: string; readonly onClick: () => void }) {
  return (
    <button type="button" className={styles.close} aria-label={label} title={label} onClick={onClick}>
      <Icon name="close" />
    </button>
  );
}
