import { useSyncExternalStore } from 'react';
import { useTheme } from '../../state/theme_store.ts';

const dark = matchMedia('(prefers-color-scheme: dark)');

function subscribe(changed: () => void): () => void {
  dark.addEventListener('change', changed);
  return () => dark.removeEventListener('change', changed);
}

/** What is on screen now: a canvas has to be drawn again when it changes. */
export function useColourScheme(): 'light' | 'dark' {
  const theme = useTheme((state) => state.theme);
  const system = useSyncExternalStore(subscribe, () => dark.matches);
  if (theme === 'system') return system ? 'dark' : 'light';
  return theme;
}
