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

/** Whom the page's policy lets it read from, beside its own host, as the browser has it. */
export function allowedHosts(): string[] {
  const policy = document.querySelector<HTMLMetaElement>('meta[http-equiv="Content-Security-Policy"]')?.content ?? '';
  const directives = policy.split(';').map((directive) => directive.trim().split(/\s+/));
  const [, ...sources] = directives.find(([name]) => name === 'connect-src') ?? [];
  return sources.filter((source) => source !== "'self'").map((source) => source.replace(/^https?:\/\//, ''));
}
