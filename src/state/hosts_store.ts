/** Every host that was spoken to in this session: the page tells, so that nobody has to wonder. */
import { create } from 'zustand';
import { hubUrl } from './hub_url.ts';

export const useHosts = create<{ hosts: readonly string[] }>()(() => ({ hosts: [] }));

export function meetHosts(met: readonly string[]): void {
  const { hosts } = useHosts.getState();
  const fresh = met.filter((host) => !hosts.includes(host));
  if (fresh.length > 0) useHosts.setState({ hosts: [...hosts, ...fresh] });
}

export function meetHub(): void {
  meetHosts([new URL(hubUrl()).host]);
}
