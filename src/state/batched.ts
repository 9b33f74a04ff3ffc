/** Calls `flush` once for many requests: in the next frame, at most ten times a second; twice a second when hidden. */

const MIN_INTERVAL_MS = 100;
const HIDDEN_INTERVAL_MS = 500;

export function batched(flush: () => void): { request: () => void; now: () => void } {
  let waiting = false;
  let turn = 0;
  let last = Number.NEGATIVE_INFINITY;
  const now = () => {
    waiting = false;
    last = performance.now();
    flush();
  };
  const frame = () => {
    if (!waiting) return;
    if (performance.now() - last >= MIN_INTERVAL_MS) now();
    else requestAnimationFrame(frame);
  };
  const request = () => {
    if (waiting) return;
    waiting = true;
    const own = ++turn;
    // A hidden page gets no frames, nor does one that is hidden before the frame it has asked for.
    setTimeout(() => waiting && own === turn && now(), HIDDEN_INTERVAL_MS);
    if (!document.hidden) requestAnimationFrame(frame);
  };
  return { request, now };
}
