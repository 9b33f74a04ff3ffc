import { setSystemPrompt, useData } from '../../state/data_store.ts';
import { Field } from '../primitives/field.tsx';
import { Select, TextArea } from '../primitives/input.tsx';

/** A system message for the conversations: for those that have none, or in the place of theirs. */
export function SystemPrompt({ disabled }: { readonly disabled: boolean }) {
  const system = useData((state) => state.system);
  return (
    <Field
      name="system_prompt"
      help="What the assistant is told before the conversation; the model learns to expect it."
    >
      {({ id, describedBy }) => (
        <>
          <Select
            id={id}
            aria-describedby={describedBy}
            disabled={disabled}
            value={system?.mode ?? 'keep'}
            onChange={({ currentTarget: { value } }) =>
              setSystemPrompt(value === 'keep' ? null : { mode: value as 'add' | 'replace', text: system?.text ?? '' })
            }
          >
            <option value="keep">as the rows have it</option>
            <option value="add">add where there is none</option>
            <option value="replace">replace everywhere</option>
          </Select>
          {system && (
            <TextArea
              aria-label="Text of the system prompt"
              rows={4}
              disabled={disabled}
              value={system.text}
              onChange={({ currentTarget }) => setSystemPrompt({ ...system, text: currentTarget.value })}
            />
          )}
        </>
      )}
    </Field>
  );
}
