import { useMemo } from 'react';
import { useAdapter } from '../../state/adapter_store.ts';
import { type CheckedSettings, checkSettings } from '../../state/check_settings.ts';
import { useModel } from '../../state/model_store.ts';
import { useSettings } from '../../state/settings_store.ts';

/** The settings in the form, checked against the schema, the model and the adapter that training starts from. */
export function useChecked(): CheckedSettings {
  const settings = useSettings();
  const info = useModel((state) => state.loaded?.info ?? null);
  const start = useAdapter((state) => state.start);
  return useMemo(() => checkSettings(settings, info, start), [settings, info, start]);
}
