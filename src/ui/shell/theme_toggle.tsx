import { setTheme, THEMES, type Theme, useTheme } from '../../state/theme_store.ts';
import { Icon, type IconName } from '../primitives/icon.tsx';
import styles from './tool.module.css';

const ICONS: Readonly<Record<Theme, IconName>> = { system: 'auto', light: 'sun', dark: 'moon' };
const NAMES: Readonly<Record<Theme, string>> = { system: 'as the system', light: 'light', dark: 'dark' };

export function ThemeToggle() {
  const theme = useTheme((state) => state.theme);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system';
  const label = `Colours: ${NAMES[theme]}. Change to ${NAMES[next]}.`;
  return (
    <button type="button" className={styles.tool} onClick={() => setTheme(next)} aria-label={label} title={label}>
      <Icon name={ICONS[theme]} size={18} />
    </button>
  );
}
