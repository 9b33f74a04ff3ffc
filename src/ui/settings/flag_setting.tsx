import { type FlagField, setFlag, useSettings } from '../../state/settings_store.ts';
import { SwitchField } from '../primitives/switch_field.tsx';
import { HELP } from './help.ts';

export function FlagSetting({ field, disabled = false }: { readonly field: FlagField; readonly disabled?: boolean }) {
  const checked = useSettings((state) => state.flags[field]);
  return (
    <SwitchField
      name={field}
      help={HELP[field]}
      checked={checked}
      disabled={disabled}
      onChange={(value) => setFlag(field, value)}
    />
  );
}
