import { Switch } from '@base-ui/react/switch';
import { useId } from 'react';
import fieldStyles from './field.module.css';
import styles from './switch_field.module.css';

interface Props {
  readonly name: string;
  readonly help: string;
  readonly checked: boolean;
  readonly disabled?: boolean;
  readonly onChange: (checked: boolean) => void;
}

export function SwitchField({ name, help, checked, disabled = false, onChange }: Props) {
  const id = useId();
  return (
    <div className={styles.row}>
      <Switch.Root
        className={styles.switch}
        checked={checked}
        disabled={disabled}
        onCheckedChange={onChange}
        aria-labelledby={`${id}-name`}
        aria-describedby={`${id}-help`}
      >
        <Switch.Thumb className={styles.thumb} />
      </Switch.Root>
      <div className={fieldStyles.field}>
        <span id={`${id}-name`} className={fieldStyles.name}>
          {name}
        </span>
        <p id={`${id}-help`} className={fieldStyles.help}>
          {help}
        </p>
      </div>
    </div>
  );
}
