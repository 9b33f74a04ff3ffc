import { patternText, type SettingErrors } from '../../state/check_settings.ts';
import { type PatternField, setPattern, useSettings } from '../../state/settings_store.ts';
import { Field } from '../primitives/field.tsx';
import { Input } from '../primitives/input.tsx';
import { HELP } from './help.ts';

interface Props {
  readonly field: PatternField;
  readonly errors: SettingErrors;
  /** What an adapter that training goes on from has. */
  readonly fixed?: Readonly<Record<string, number>> | undefined;
}

export function PatternSetting({ field, errors, fixed }: Props) {
  const typed = useSettings((state) => state.patterns[field]);
  return (
    <Field name={field} help={HELP[field]} error={fixed ? undefined : errors[field]}>
      {({ id, describedBy, invalid }) => (
        <Input
          id={id}
          aria-describedby={describedBy}
          aria-invalid={invalid}
          disabled={fixed !== undefined}
          value={fixed ? patternText(fixed) : typed}
          onChange={({ currentTarget }) => setPattern(field, currentTarget.value)}
        />
      )}
    </Field>
  );
}
