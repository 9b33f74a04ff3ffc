import { useData } from '../../state/data_store.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { Panel } from '../primitives/panel.tsx';
import { FlagSetting } from '../settings/flag_setting.tsx';
import { NumberSetting } from '../settings/number_setting.tsx';
import { useChecked } from '../settings/use_checked.ts';

/** What decides how rows become examples; the file is read again when one of these changes. */
export function DataSettings() {
  const { errors } = useChecked();
  const locked = useRun((state) => isActive(state.status));
  const hasFile = useData((state) => state.file !== null);
  return (
    <Panel
      title="How rows are read"
      lead={
        locked
          ? 'Fixed while a run is under way.'
          : hasFile
            ? 'A change reads the file again.'
            : 'These can be changed later as well.'
      }
    >
      <NumberSetting field="max_length" errors={errors} disabled={locked} />
      <FlagSetting field="assistant_only_loss" disabled={locked} />
      <FlagSetting field="packing" disabled={locked} />
      <NumberSetting field="validation_share" errors={errors} disabled={locked} />
    </Panel>
  );
}
