import { useMemo } from 'react';
import { useAdapter } from '../../state/adapter_store.ts';
import { type CheckedSettings, checkSettings } from '../../state/check_settings.ts';
import { useModel } from '../../state/model_store.ts';
import { usePrediction } from '../../state/prediction_store.ts';
import { type NumberField, useSettings } from '../../state/settings_store.ts';

/** The setting that an error of the prediction is about. */
const FIELDS: Readonly<Record<string, NumberField>> = {
  WeightBudgetError: 'weight_memory_budget',
  OptimizerBudgetError: 'optimizer_memory_budget',
};

/** The settings in the form, checked against the schema, the model, its memory and the adapter that training starts from. */
export function useChecked(): CheckedSettings {
  const settings = useSettings();
  const info = useModel((state) => state.loaded?.info ?? null);
  const start = useAdapter((state) => state.start);
  const problem = usePrediction((state) => state.problem);
  return useMemo(() => {
    const checked = checkSettings(settings, info, start);
    const field = problem && FIELDS[problem.name];
    if (!field) return checked;
    return { ...checked, request: null, errors: { [field]: problem.message, ...checked.errors } };
  }, [settings, info, start, problem]);
}
