/** Four bits, one of them bitten. */
export function Logo() {
  return (
    <svg width="28" height="28" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="var(--accent)" />
      <g fill="var(--on-accent)">
        <rect x="7" y="7" width="8" height="8" rx="2" />
        <rect x="7" y="17" width="8" height="8" rx="2" />
        <rect x="17" y="17" width="8" height="8" rx="2" />
        <path d="M17 9a2 2 0 0 1 2-2 6 6 0 0 0 6 6 2 2 0 0 1-2 2h-4a2 2 0 0 1-2-2z" opacity="0.62" />
      </g>
    </svg>
  );
}
