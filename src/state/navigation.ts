/** Which screen is shown: the part of the address after #, so that back, forward and bookmarks work. */
import { create } from 'zustand';

export const STEPS = ['model', 'data', 'train', 'try', 'export'] as const;
export type Step = (typeof STEPS)[number];
const OTHERS = ['runs', 'self-test'] as const;
export type Screen = Step | (typeof OTHERS)[number];

export const useNavigation = create<{ screen: Screen }>()(() => ({ screen: 'model' }));

export function goTo(screen: Screen): void {
  location.hash = screen;
}

export function followAddress(): void {
  const read = () => useNavigation.setState({ screen: screenOf(location.hash) });
  addEventListener('hashchange', read);
  read();
}

function screenOf(hash: string): Screen {
  const name = hash.slice(1);
  return [...STEPS, ...OTHERS].find((screen) => screen === name) ?? 'model';
}
