import { setSettings, useSettings } from '../../state/settings_store.ts';
import { Field } from '../primitives/field.tsx';
import { TextArea } from '../primitives/input.tsx';

/** What is sampled while a run trains, a line each. */
export function SamplePrompts({ error }: { readonly error: string | undefined }) {
  const prompts = useSettings((state) => state.sample_prompts);
  return (
    <Field name="sample_prompts" help="One a line; empty for no samples." error={error}>
      {({ id, describedBy, invalid }) => (
        <TextArea
          id={id}
          aria-describedby={describedBy}
          aria-invalid={invalid}
          rows={3}
          value={prompts}
          onChange={({ currentTarget }) => setSettings({ sample_prompts: currentTarget.value })}
        />
      )}
    </Field>
  );
}
