import { useData } from '../../state/data_store.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { Panel } from '../primitives/panel.tsx';
import { FlagSetting } from '../settings/flag_setting.tsx';
import { NumberSetting } from '../settings/number_setting.tsx';
import { useChecked } from '../settings/use_checked.ts';
import { SystemPrompt } from './system_prompt.tsx';
import { TextRows } from './text_rows.tsx';

/** What decides how rows become examples; they are tokenized again when one of these changes. */
export function DataSettings() {
  const { errors } = useChecked();
  const locked = useRun((state) => isActive(state.status));
  const { location, validation, table } = useData();
  const plainText = table?.files.some(({ format }) => format === 'text' || format === 'markdown') ?? false;
  return (
    <Panel
      title="How rows are read"
      lead={
        locked
          ? 'Fixed while a run is under way.'
          : location
            ? 'A change reads the rows again.'
            : 'These can be changed later as well.'
      }
    >
      <NumberSetting field="max_length" errors={errors} disabled={locked} />
      <FlagSetting field="assistant_only_loss" disabled={locked} />
      <FlagSetting field="packing" disabled={locked} />
      <FlagSetting field="remove_duplicates" disabled={locked} />
      <NumberSetting
        field="validation_share"
        errors={errors}
        disabled={locked}
        fixed={validation ? 'the validation file' : undefined}
      />
      {plainText && <TextRows disabled={locked} />}
      <SystemPrompt disabled={locked} />
    </Panel>
  );
}
