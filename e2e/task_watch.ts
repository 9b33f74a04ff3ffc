/**
 * Tasks of the page over 50 ms, as its own PerformanceObserver tells of them, each with the time that its thread ran.
 * The clock alone does not tell the page's work from a wait for the processor: Chromium's GPU process goes before the
 * page's, and on SwiftShader it computes on the same cores; so do other programs of the machine.
 */
import type { Browser, Page } from 'playwright';

export interface LongTask {
  /** Milliseconds after the watch began. */
  readonly at: number;
  /** Milliseconds by the clock. */
  readonly wall: number;
  /** Milliseconds of the processor; null where the trace has lost the task. */
  readonly cpu: number | null;
}

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds. */
  readonly ts: number;
  readonly dur?: number;
  readonly tdur?: number;
  readonly args?: { readonly data?: { readonly startTime?: number } };
}

/**
 * More than this of a long task's time was work. Less than the 50 that make a task long: a margin for slower cores. Not much
 * less: next to other programs the same work takes the processor half as long again (docs/performance.md).
 */
const WORKED_MS = 40;

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
    const tasks = traceEvents.filter(
      ({ name, pid, tid }) => name === 'RunTask' && pid === mark.pid && tid === mark.tid,
    );
    const traceTime = (pageTime: number) => mark.ts + (pageTime - mark.args!.data!.startTime!) * 1000;
    const all = entries.map(({ startTime, duration }) => {
      const middle = traceTime(startTime + duration / 2);
      const task = tasks.find(({ ts, dur = 0 }) => ts <= middle && middle <= ts + dur);
      const cpu = task?.tdur === undefined ? null : Math.round(task.tdur / 1000);
      return { at: Math.round(startTime - mark.args!.data!.startTime!), wall: Math.round(duration), cpu };
    });
    return { own: all.filter(({ wall, cpu }) => wall > 50 && (cpu ?? wall) > WORKED_MS), all };
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
