import { setText, useData } from '../../state/data_store.ts';
import { Field } from '../primitives/field.tsx';
import { Select } from '../primitives/input.tsx';

/** Bytes of a window: about a quarter as many tokens of English. */
const WINDOWS = [1000, 2000, 4000, 8000, 16_000] as const;

/** How plain text is cut into rows; the files are read again when it changes. */
export function TextRows({ disabled }: { readonly disabled: boolean }) {
  const text = useData((state) => state.text);
  return (
    <Field name="text rows" help="Of .txt and .md files: a row for each paragraph, or for as many whole lines as fit.">
      {({ id, describedBy }) => (
        <Select
          id={id}
          aria-describedby={describedBy}
          disabled={disabled}
          value={text.by === 'paragraph' ? 'paragraph' : String(text.windowBytes)}
          onChange={({ currentTarget: { value } }) =>
            setText(value === 'paragraph' ? { ...text, by: 'paragraph' } : { by: 'window', windowBytes: Number(value) })
          }
        >
          <option value="paragraph">paragraphs</option>
          {WINDOWS.map((size) => (
            <option key={size} value={size}>
              windows of {size.toLocaleString('en')} bytes
            </option>
          ))}
        </Select>
      )}
    </Field>
  );
}
