/** What is kept of each run beside its pages: enough to list it, and to know what resuming needs. */

export type RunState =
  /** Being trained; with no tab that has its lock, it was cut off. */
  | 'running'
  | 'paused'
  | 'finished'
  /** By the user. */
  | 'stopped'
  | 'failed';

export interface StoredRun<Details = unknown> {
  readonly id: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly updated: number;
  readonly state: RunState;
  /** Of the newest checkpoint; 0 before the first. */
  readonly checkpointStep: number;
  readonly totalSteps: number;
  /** At most {@link SPARKLINE_POINTS}, over the whole run. */
  readonly losses: readonly number[];
  /** Bytes of data and pages. */
  readonly bytes: number;
  /** Why it stands still, where it does not by itself. */
  readonly reason: string | null;
  /** What only the worker understands. */
  readonly details: Details;
}

export const SPARKLINE_POINTS = 60;

/** A curve of few points: the mean of each stretch. */
export function sparkline(values: readonly number[], points = SPARKLINE_POINTS): number[] {
  const count = Math.min(points, values.length);
  return Array.from({ length: count }, (_, i) => {
    const part = values.slice(Math.floor((i * values.length) / count), Math.floor(((i + 1) * values.length) / count));
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}
