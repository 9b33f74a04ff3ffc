import { useModel } from '../../state/model_store.ts';
import { checkSampling, isWriting, type SamplingField, setSampling, setTry, useTry } from '../../state/try_store.ts';
import type { TryAdapter } from '../../worker/studio_protocol.ts';
import { Field } from '../primitives/field.tsx';
import { Input, Select, TextArea } from '../primitives/input.tsx';
import { Panel } from '../primitives/panel.tsx';
import styles from './try_settings.module.css';
import { useAdapters } from './use_try_adapter.ts';

const HELP: Readonly<Record<SamplingField, string>> = {
  temperature: 'How daring. 0 always takes the likeliest token.',
  top_k: 'Only the so many likeliest tokens; 0 for all.',
  top_p: 'Only the likeliest tokens that make up this share; 1 for all.',
  seed: 'The same seed gives the same answer. Both sides draw the same numbers.',
  max_new_tokens: 'Where an answer is cut.',
};
const FIELDS = Object.keys(HELP) as SamplingField[];

export function TrySettings({ adapter }: { readonly adapter: TryAdapter }) {
  const { kind, system, strength, sampling } = useTry();
  const writing = useTry(isWriting);
  const adapters = useAdapters();
  const template = useModel((state) => state.loaded?.info.chatTemplate ?? false);
  const { errors } = checkSampling(sampling);
  return (
    <Panel title="Settings">
      <div className={styles.fields}>
        {adapters.length > 1 && (
          <Field name="adapter" help="Which of the two is compared with the base model.">
            {({ id, describedBy }) => (
              <Select
                id={id}
                aria-describedby={describedBy}
                disabled={writing}
                value={adapter}
                onChange={({ currentTarget }) => setTry({ adapter: currentTarget.value as 'trained' | 'opened' })}
              >
                <option value="trained">trained here</option>
                <option value="opened">opened from a file</option>
              </Select>
            )}
          </Field>
        )}
        {adapter !== 'none' && (
          <Field name="adapter_strength" help="0 is the base model, 1 the adapter as it was trained; more overdoes it.">
            {({ id, describedBy }) => (
              <div className={styles.slider}>
                <input
                  type="range"
                  id={id}
                  aria-describedby={describedBy}
                  min={0}
                  max={2}
                  step={0.05}
                  value={strength}
                  disabled={writing}
                  onChange={({ currentTarget }) => setTry({ strength: currentTarget.valueAsNumber })}
                />
                <output htmlFor={id}>{strength.toFixed(2)}</output>
              </div>
            )}
          </Field>
        )}
        {template && (
          <Field name="input" help="A conversation through the chat template, or text that is continued as it stands.">
            {({ id, describedBy }) => (
              <Select
                id={id}
                aria-describedby={describedBy}
                disabled={writing}
                value={kind}
                onChange={({ currentTarget }) => setTry({ kind: currentTarget.value as 'chat' | 'text' })}
              >
                <option value="chat">conversation</option>
                <option value="text">plain text</option>
              </Select>
            )}
          </Field>
        )}
        {kind === 'chat' && (
          <Field name="system_prompt" help="What the assistant is told before the conversation. Empty: nothing.">
            {({ id, describedBy }) => (
              <TextArea
                id={id}
                aria-describedby={describedBy}
                rows={3}
                disabled={writing}
                value={system}
                onChange={({ currentTarget }) => setTry({ system: currentTarget.value })}
              />
            )}
          </Field>
        )}
        {FIELDS.map((field) => (
          <Field key={field} name={field} help={HELP[field]} error={errors[field]}>
            {({ id, describedBy, invalid }) => (
              <Input
                id={id}
                inputMode="decimal"
                aria-describedby={describedBy}
                aria-invalid={invalid}
                disabled={writing}
                value={sampling[field]}
                onChange={({ currentTarget }) => setSampling(field, currentTarget.value)}
              />
            )}
          </Field>
        ))}
      </div>
    </Panel>
  );
}
