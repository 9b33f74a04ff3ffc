import type { ReactNode } from 'react';
import styles from './field.module.css';

interface Props {
  /** The field's own name, as in TRL and PEFT. */
  readonly name: string;
  readonly help: string;
  readonly error?: string | undefined;
  /** Gets the ids to label and describe the control with. */
  readonly children: (ids: { id: string; describedBy: string; invalid: boolean }) => ReactNode;
}

/** A field of a name is on a screen once: from elsewhere it can be jumped to. */
export const fieldId = (name: string): string => `field-${name}`;

export function Field({ name, help, error, children }: Props) {
  const id = fieldId(name);
  const describedBy = `${id}-help`;
  return (
    <div className={styles.field}>
      <label htmlFor={id} className={styles.name}>
        {name}
      </label>
      {children({ id, describedBy, invalid: error !== undefined })}
      <p id={describedBy} className={styles.help}>
        {error !== undefined && <strong className={styles.error}>{error} </strong>}
        {help}
      </p>
    </div>
  );
}
