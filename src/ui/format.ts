/** Numbers as they are read: short, with their unit, in the page's language (English). */

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export const count = (value: number): string => whole.format(value);

/** Decimal units, as the Hub and operating systems show a file's size. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let at = 0;
  let size = value;
  while (size >= 999.5 && at < units.length - 1) {
    size /= 1000;
    at++;
  }
  const digits = at === 0 || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return `${size.toFixed(digits)} ${units[at]}`;
}

export const rate = (bytesPerSecond: number): string => `${bytes(bytesPerSecond)}/s`;

/** 135 M, 1.24 B: as model sizes are spoken of. */
export function parameters(value: number): string {
  if (value >= 999_500_000) return `${(value / 1e9).toFixed(2)} B`;
  if (value >= 999_500) return `${whole.format(value / 1e6)} M`;
  return count(value);
}

export function compact(value: number): string {
  return new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(value);
}

export function percent(share: number): string {
  const value = share * 100;
  return `${value > 0 && value < 1 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** `45 s`, `3 min 20 s`, `1 h 12 min`. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
  const minutes = Math.round(s / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Four digits after the point, as training logs have it. */
export const loss = (value: number): string => value.toFixed(4);

/** `2.0e-4`, as learning rates are written. */
export function scientific(value: number): string {
  return value === 0 ? '0' : value.toExponential(2);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
