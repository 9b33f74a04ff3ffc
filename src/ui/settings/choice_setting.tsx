import { type ChoiceField, type Settings, setSettings, useSettings } from '../../state/settings_store.ts';
import { Field } from '../primitives/field.tsx';
import { Select } from '../primitives/input.tsx';
import { HELP } from './help.ts';

const CHOICES: { readonly [F in ChoiceField]: readonly Settings[F][] } = {
  lr_scheduler_type: ['linear', 'cosine', 'constant', 'constant_with_warmup'],
  optim: ['adamw_torch', 'adamw_8bit', 'paged_adamw_32bit', 'paged_adamw_8bit'],
  train_sampling_strategy: ['random', 'sequential', 'group_by_length'],
  bnb_4bit_quant_type: ['nf4', 'fp4'],
};

export function ChoiceSetting({
  field,
  disabled = false,
}: {
  readonly field: ChoiceField;
  readonly disabled?: boolean;
}) {
  const value = useSettings((state) => state[field]);
  return (
    <Field name={field} help={HELP[field]}>
      {({ id, describedBy }) => (
        <Select
          id={id}
          aria-describedby={describedBy}
          disabled={disabled}
          value={value}
          onChange={({ currentTarget }) => setSettings({ [field]: currentTarget.value })}
        >
          {CHOICES[field].map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </Select>
      )}
    </Field>
  );
}
