const PATHS = {
  alert: 'M8 1.8 15 14H1zM8 6.2v3.6M8 11.6v.6',
  info: 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M8 7v4.2M8 4.6v.6',
  check: 'm2.5 8.5 3.6 3.6 7.4-8',
  chevron: 'm6 3.5 4.5 4.5L6 12.5',
  back: 'M10 3.5 5.5 8l4.5 4.5',
  close: 'm3.5 3.5 9 9m0-9-9 9',
  search: 'M7 2.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6m3.6 8.4 3.4 3.4',
  folder: 'M1.8 12.8V3.4h4.4l1.6 1.8h6.4v7.6z',
  file: 'M3.4 1.8h5.8l3.4 3.4v9H3.4zM9 1.8v3.6h3.6',
  upload: 'M8 10.5V2.6M4.8 5.6 8 2.4l3.2 3.2M2.4 10.4v3h11.2v-3',
  download: 'M8 2.4v7.9M4.8 7.3 8 10.5l3.2-3.2M2.4 10.4v3h11.2v-3',
  lock: 'M3.4 7.2h9.2v6.6H3.4zM5.4 7V4.9a2.6 2.6 0 0 1 5.2 0V7',
  chip: 'M4.2 4.2h7.6v7.6H4.2zM6.2 1.8v2.4m3.6-2.4v2.4m-3.6 7.6v2.4m3.6-2.4v2.4M1.8 6.2h2.4m-2.4 3.6h2.4m7.6-3.6h2.4m-2.4 3.6h2.4',
  sun: 'M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.6m0 10.8V15M1 8h1.6m10.8 0H15M3 3l1.2 1.2m7.6 7.6L13 13M13 3l-1.2 1.2M4.2 11.8 3 13',
  moon: 'M13.4 9.6A6 6 0 0 1 6.4 2.6a5.8 5.8 0 1 0 7 7',
  auto: 'M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8m0 0v12.4M8 5h4.6M8 8h6.2M8 11h4.6',
  pause: 'M5.4 3v10M10.6 3v10',
  play: 'm4.5 2.8 8 5.2-8 5.2z',
  runs: 'M2 12.5 5.2 7l3 3.2L14 3.5M2 14.2h12',
  stop: 'M3.8 3.8h8.4v8.4H3.8z',
} as const;

export type IconName = keyof typeof PATHS;

/** A drawing beside a word that says the same. */
export function Icon({ name, size = 16 }: { readonly name: IconName; readonly size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
