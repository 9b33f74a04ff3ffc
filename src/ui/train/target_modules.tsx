import { useAdapter } from '../../state/adapter_store.ts';
import { useModel } from '../../state/model_store.ts';
import { setSettings, useSettings } from '../../state/settings_store.ts';
import fieldStyles from '../primitives/field.module.css';
import { HELP } from '../settings/help.ts';
import styles from './target_modules.module.css';

const COMMON = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

export function TargetModules({ error }: { readonly error: string | undefined }) {
  const chosen = useSettings((state) => state.target_modules);
  const start = useAdapter((state) => state.start);
  const linears = useModel((state) => state.loaded?.info.linears) ?? COMMON;
  const value = start ? start.modules : chosen;
  const all = value === 'all-linear';
  const toggle = (name: string) => {
    const before = all ? linears : value;
    const after = before.includes(name) ? before.filter((one) => one !== name) : [...before, name];
    // Names as the model has them, in its order.
    const names = linears.filter((one) => after.includes(one));
    setSettings({ target_modules: names.length === linears.length ? 'all-linear' : names });
  };
  return (
    <fieldset className={fieldStyles.field} disabled={start !== null}>
      <legend className={fieldStyles.name}>target_modules</legend>
      <div className={styles.modules}>
        {linears.map((name) => (
          <label key={name} className={styles.module}>
            <input type="checkbox" checked={all || value.includes(name)} onChange={() => toggle(name)} />
            {name}
          </label>
        ))}
      </div>
      <p className={fieldStyles.help}>
        {error && <strong className={fieldStyles.error}>{error} </strong>}
        {all ? 'all-linear: every linear layer gets an adapter, which learns best.' : HELP.target_modules}
      </p>
    </fieldset>
  );
}
