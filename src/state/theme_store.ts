/** Dark, light, or as the system has it. */
import { create } from 'zustand';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const KEY = 'nibble-theme';

export const useTheme = create<{ theme: Theme }>()(() => ({ theme: 'system' }));

export function setTheme(theme: Theme): void {
  useTheme.setState({ theme });
  apply(theme);
  // Storage can be forbidden; then the choice lasts as long as the page.
  try {
    localStorage.setItem(KEY, theme);
  } catch {}
}

export function restoreTheme(): void {
  let kept: string | null = null;
  try {
    kept = localStorage.getItem(KEY);
  } catch {}
  const theme = THEMES.find((one) => one === kept) ?? 'system';
  useTheme.setState({ theme });
  apply(theme);
}

function apply(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
