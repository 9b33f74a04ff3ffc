import type { ColumnRoles } from '../../formats/run_config.ts';
import { COLUMN_ROLES, type ColumnRole } from '../../state/columns.ts';
import { setColumns, useData } from '../../state/data_store.ts';
import { Select } from '../primitives/input.tsx';
import { ScrollRegion } from '../primitives/scroll_region.tsx';
import styles from './column_mapping.module.css';

interface Props {
  readonly columns: ColumnRoles;
  readonly names: readonly string[];
  readonly disabled: boolean;
}

/** Column → role, with what the selected row has in each. */
export function ColumnMapping({ columns, names, disabled }: Props) {
  const first = useData((state) => state.rawRows.get(state.selected) ?? state.rawRows.get(0));
  const choose = (name: string, role: string) => {
    const { [name]: _, ...others } = columns;
    setColumns(role === '' ? others : { ...others, [name]: role as ColumnRole });
  };
  return (
    <ScrollRegion className={styles.scroll} label="Columns and their roles">
      <ul className={styles.list}>
        {names.map((name, i) => (
          <li key={name} className={styles.column}>
            <label className={styles.name} htmlFor={`column-${i}`}>
              {name}
            </label>
            <Select
              id={`column-${i}`}
              disabled={disabled}
              value={columns[name] ?? ''}
              onChange={({ currentTarget }) => choose(name, currentTarget.value)}
            >
              <option value="">not used</option>
              {COLUMN_ROLES.map((role) => (
                <option key={role}>{role}</option>
              ))}
            </Select>
            <span className={styles.sample}>{first?.cells[i]?.slice(0, 120)}</span>
          </li>
        ))}
      </ul>
    </ScrollRegion>
  );
}
