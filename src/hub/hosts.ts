/**
 * The hosts that the page may speak to, and the Content-Security-Policy made from them. Nothing else is contacted: what
 * is not in this list, the browser refuses.
 */

export interface Host {
  /** A CSP source: scheme and host, '*' standing for one or more labels on the left. */
  readonly source: string;
  /** For the page's list of hosts, and for whoever asks why it is here. */
  readonly purpose: string;
}

export const HUB_URL = 'https://huggingface.co';

/**
 * Names as in https://huggingface.co/.well-known/meta.json (`hubDomains`, `lfsDomains`, `cdnDomains`): the Hub sends a
 * file's reader to the storage nearest to them, so regions are wildcards below names that only the Hub uses.
 */
export const HOSTS: readonly Host[] = [
  { source: HUB_URL, purpose: 'search, file lists, small files' },
  { source: 'https://*.cdn.hf.co', purpose: 'weights: the content delivery network, by region' },
  { source: 'https://*.xethub.hf.co', purpose: 'weights: the Xet storage bridge' },
  { source: 'https://*.xethub-eu.hf.co', purpose: 'weights: the Xet storage bridge, Europe' },
  { source: 'https://cdn-lfs.hf.co', purpose: 'weights: Git LFS storage' },
  { source: 'https://cdn-lfs-us-1.hf.co', purpose: 'weights: Git LFS storage, United States' },
  { source: 'https://cdn-lfs-eu-1.hf.co', purpose: 'weights: Git LFS storage, Europe' },
  { source: 'https://cdn-lfs.huggingface.co', purpose: 'weights: Git LFS storage, older name' },
];

/** Whether a request to this address would pass the policy's connect-src. */
export function isAllowedHost(address: string, extraConnect: readonly string[] = []): boolean {
  if (!URL.canParse(address)) return false;
  const url = new URL(address);
  return [...HOSTS.map(({ source }) => source), ...extraConnect].some((source) => {
    const [scheme, host = ''] = source.split('://');
    if (`${scheme}:` !== url.protocol) return false;
    return host.startsWith('*.') ? url.host.endsWith(host.slice(1)) : url.host === host;
  });
}

export interface PolicyOptions {
  /** Vite's development server: its inline preamble and styles, and its socket. */
  readonly development?: boolean;
  /** Further origins to connect to: a Hub on localhost in tests, a mirror. */
  readonly extraConnect?: readonly string[];
  /** `header` adds what browsers ignore, with a warning, in a <meta>. */
  readonly delivery?: 'meta' | 'header';
}

/** The policy as one line. */
export function contentSecurityPolicy(options: PolicyOptions = {}): string {
  const { development = false, extraConnect = [], delivery = 'meta' } = options;
  for (const source of extraConnect) {
    // Built from configuration, but a stray ';' would open the policy.
    if (!/^(https?|wss?):\/\/[\w.*:-]+$/.test(source)) throw new TypeError(`${source} is not an origin.`);
  }
  const inline = development ? ["'unsafe-inline'"] : [];
  const directives: readonly (readonly [string, ...string[]])[] = [
    ['default-src', "'none'"],
    ['script-src', "'self'", ...inline],
    ['style-src', "'self'", ...inline],
    ['img-src', "'self'", 'data:', 'blob:'],
    ['font-src', "'self'"],
    ['worker-src', "'self'"],
    [
      'connect-src',
      "'self'",
      ...HOSTS.map(({ source }) => source),
      ...extraConnect,
      ...(development ? ['ws://localhost:*', 'ws://127.0.0.1:*'] : []),
    ],
    ['manifest-src', "'self'"],
    ['base-uri', "'none'"],
    ['form-action', "'none'"],
    ...(delivery === 'header' ? ([['frame-ancestors', "'none'"]] as const) : []),
  ];
  return directives.map((directive) => directive.join(' ')).join('; ');
}

/**
 * The headers of every answer, by name. A worker is bound by the policy of its own script's answer and not by the
 * page's <meta>, so a server has to send them with every file.
 */
export function securityHeaders(options: Omit<PolicyOptions, 'delivery'> = {}): Readonly<Record<string, string>> {
  return {
    'Content-Security-Policy': contentSecurityPolicy({ ...options, delivery: 'header' }),
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
  };
}

/** The text of `_headers`, as Cloudflare Pages and Netlify read it. */
export function headersFile(options: Omit<PolicyOptions, 'delivery'> = {}): string {
  const lines = Object.entries(securityHeaders(options)).map(([name, value]) => `  ${name}: ${value}`);
  // Built assets have their content's hash in their name.
  return ['/*', ...lines, '/assets/*', '  Cache-Control: public, max-age=31536000, immutable', ''].join('\n');
}
