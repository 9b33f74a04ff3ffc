/** Which screen is shown: the part of the address after #, so that back, forward and bookmarks work. */
import { create } from 'zustand';

export const STEPS = ['model', 'data', 'train', 'try', 'export'] as const;
export type Step = (typeof STEPS)[number];
export type Screen = Step | 'self-test';

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
  return name === 'self-test' ? name : (STEPS.find((step) => step === name) ?? 'model');
}
