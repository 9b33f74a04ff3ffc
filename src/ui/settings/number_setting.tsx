import type { SettingErrors } from '../../state/check_settings.ts';
import { type NumberField, setNumber, useSettings } from '../../state/settings_store.ts';
import { Field } from '../primitives/field.tsx';
import { Input } from '../primitives/input.tsx';
import { HELP } from './help.ts';

interface Props {
  readonly field: NumberField;
  readonly errors: SettingErrors;
  readonly disabled?: boolean;
  /** Shown instead of the typed value where something else decides it. */
  readonly fixed?: string | undefined;
}

export function NumberSetting({ field, errors, disabled = false, fixed }: Props) {
  const value = useSettings((state) => state.numbers[field]);
  return (
    <Field name={field} help={HELP[field]} error={fixed === undefined ? errors[field] : undefined}>
      {({ id, describedBy, invalid }) => (
        <Input
          id={id}
          inputMode="decimal"
          aria-describedby={describedBy}
          aria-invalid={invalid}
          disabled={disabled || fixed !== undefined}
          value={fixed ?? value}
          onChange={({ currentTarget }) => setNumber(field, currentTarget.value)}
        />
      )}
    </Field>
  );
}
