/**
 * Tasks of the page over 50 ms, as its own PerformanceObserver tells of them, each with the time that its thread ran.
 * The clock alone does not tell the page's work from a wait for the processor: Chromium's GPU process goes before the
 * page's, and on SwiftShader it computes on the same cores; so do other programs of the machine.
 */
import type { Browser, Page } from 'playwright';

export interface LongTask {
  /** Milliseconds after the watch began. */
  readonly at: number;
  /** Milliseconds by the clock, and of the processor. */
  readonly wall: number;
  readonly cpu: number;
}

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  /** When it began, microseconds: by the clock, and of what its thread had run by then. */
  readonly ts: number;
  readonly tts?: number;
  readonly args?: { readonly data?: { readonly startTime?: number } };
}

/**
 * More than this of a long task's time was work. Less than the 50 that make a task long: a margin for slower cores. Not much
 * less: next to other programs the same work takes the processor half as long again (docs/performance.md).
 */
const WORKED_MS = 40;

/** The page's clock is coarser than the trace's. */
const CLOCKS_US = 2000;

const MARK = 'watch';

type Watched = { watched: () => { startTime: number; duration: number }[] };

export class TaskWatch {
  readonly #page: Page;
  readonly #browser: Browser;

  private constructor(page: Page, browser: Browser) {
    this.#page = page;
    this.#browser = browser;
  }

  static async start(page: Page): Promise<TaskWatch> {
    const browser = page.context().browser();
    if (!browser) throw new Error('The page has no browser to trace.');
    await browser.startTracing(page, { categories: ['disabled-by-default-devtools.timeline', 'blink.user_timing'] });
    await page.evaluate((mark) => {
      const entries: PerformanceEntry[] = [];
      const observer = new PerformanceObserver((list) => entries.push(...list.getEntries()));
      observer.observe({ type: 'longtask' });
      const watched = () => {
        entries.push(...observer.takeRecords());
        observer.disconnect();
        return entries.map(({ startTime, duration }) => ({ startTime, duration }));
      };
      Object.assign(window, { watched });
      performance.mark(mark);
    }, MARK);
    return new TaskWatch(page, browser);
  }

  /** Ends the watch. `own` are those that were the page's work, `all` includes those that waited. */
  async stop(): Promise<{ own: LongTask[]; all: LongTask[] }> {
    const entries = await this.#page.evaluate(() => (window as unknown as Watched).watched());
    const { traceEvents } = JSON.parse((await this.#browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
    const mark = traceEvents.find(({ name, args }) => name === MARK && args?.data?.startTime !== undefined);
    if (!mark) throw new Error('The trace has no mark to tell the page by.');
    // By when tasks began: a task that was under way when the trace was written away lacks its end.
    const begun = traceEvents
      .filter(({ name, pid, tid }) => name === 'RunTask' && pid === mark.pid && tid === mark.tid)
      .sort((a, b) => a.ts - b.ts);
    const began = mark.args!.data!.startTime!;
    const all = entries.map(({ startTime, duration }) => {
      const from = mark.ts + (startTime - began) * 1000;
      const task = begun.findLast(({ ts }) => ts <= from + CLOCKS_US);
      const next = begun.find(({ ts }) => ts >= from + duration * 1000 - CLOCKS_US);
      // Without one of the two all of it counts as work.
      const cpu = task?.tts !== undefined && next?.tts !== undefined ? (next.tts - task.tts) / 1000 : duration;
      return { at: Math.round(startTime - began), wall: Math.round(duration), cpu: Math.round(cpu) };
    });
    return { own: all.filter(({ wall, cpu }) => wall > 50 && cpu > WORKED_MS), all };
  }
}

/** A control for whoever expects none: keeps the page from everything else for this long. */
export async function blockPage(page: Page, ms: number): Promise<void> {
  await page.evaluate(
    (ms) =>
      new Promise<void>((over) =>
        setTimeout(() => {
          const end = performance.now() + ms;
          while (performance.now() < end);
          // In a task of its own: the long one is told of when it is over.
          setTimeout(over);
        }),
      ),
    ms,
  );
}
