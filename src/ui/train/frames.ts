/**
 * A frame each for what is drawn: four charts in one frame, with what React changed, hold the page up for longer than a
 * click may wait where the GPU computes on the same cores.
 */
const waiting = new Set<() => void>();
let asked = false;

/** Runs `job` in a frame in which no other job runs; one that waits already waits no longer for being asked for again. */
export function inFrameOfItsOwn(job: () => void): void {
  waiting.add(job);
  askForFrame();
}

export function cancelFrame(job: () => void): void {
  waiting.delete(job);
}

function askForFrame(): void {
  if (asked || waiting.size === 0) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const [job] = waiting;
    if (job) waiting.delete(job);
    job?.();
    askForFrame();
  });
}
