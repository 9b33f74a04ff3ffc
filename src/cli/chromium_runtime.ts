/** The worker's code in a headless Chromium: a page of our own relays commands and events. */
import type { Browser, Page } from 'playwright';
import type { AdapterFile, Command, WorkerEvent } from '../worker/protocol.ts';
import { type Adapter, chromiumFlags } from './chromium_flags.ts';
import type { Relay } from './headless_page.ts';
import { LocalServer } from './local_server.ts';
import { isLast, type Runtime } from './runtime.ts';

export class BrowserError extends Error {
  override name = 'BrowserError';
}

/** `pageFolder` is the headless bundle's (scripts/lib/build.mjs); `flags` are switches beside the adapter's. */
export async function chromiumRuntime(
  pageFolder: string,
  adapter: Adapter,
  flags: readonly string[] = [],
): Promise<Runtime> {
  const server = await LocalServer.start();
  const received = new Map<string, Uint8Array<ArrayBuffer>>();
  const uploads = server.receive((path, bytes) => received.set(path, bytes));
  let listener: (event: WorkerEvent) => void = () => {};
  let browser: Browser | null = null;
  let page: Page;
  try {
    browser = await launch(adapter, flags);
    page = await browser.newPage();
    page.on('console', (message) => {
      const text = message.text();
      // A folder is probed for files that it may lack.
      if (text.startsWith('Failed to load resource')) return;
      if (message.type() === 'error' || message.type() === 'warning') console.error(`[page] ${text}`);
    });
    const relay: Relay = (event, paths) => listener(withFiles(event, paths, received));
    await page.exposeFunction('nibbleRelay', relay);
    await page.goto(`${server.mount(pageFolder)}src/cli/headless.html#${uploads}`);
    await page.waitForFunction(() => 'nibblePost' in globalThis);
  } catch (error) {
    await browser?.close();
    await server.close();
    throw error;
  }
  const opened = { browser, page };
  const post = (command: Command) => opened.page.evaluate((sent) => globalThis.nibblePost?.(sent), command);
  return {
    locate: (directory) => ({ kind: 'http', url: server.mount(directory) }),
    serveDisk: (open) => ({ kind: 'http', url: server.serveDisk(open) }),
    run(command, onEvent, stop) {
      return new Promise((resolve, reject) => {
        const died = () => reject(new BrowserError('Chromium ended while the run was on. Is there enough memory?'));
        const onStop = () => void post({ type: 'stop', runId: command.runId }).catch(() => {});
        const settle = (end: () => void) => {
          opened.page.off('crash', died);
          opened.browser.off('disconnected', died);
          stop.removeEventListener('abort', onStop);
          end();
        };
        listener = (event) => {
          onEvent(event);
          if (isLast(event)) settle(resolve);
        };
        opened.page.on('crash', died);
        opened.browser.on('disconnected', died);
        stop.addEventListener('abort', onStop, { once: true });
        post(command)
          .then(() => stop.aborted && onStop())
          .catch((error: unknown) => settle(() => reject(error)));
      });
    },
    async close() {
      await opened.browser.close();
      await server.close();
    },
  };
}

async function launch(adapter: Adapter, flags: readonly string[]): Promise<Browser> {
  const { chromium } = await import('playwright');
  const executablePath = process.env.CHROMIUM;
  if (!executablePath) throw new BrowserError('CHROMIUM is not set: start with npm run, which finds it.');
  return chromium.launch({
    executablePath,
    headless: true,
    args: chromiumFlags(adapter, flags),
    // Ctrl-C is the run's to handle: it must not take the browser away from under the step in flight.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
}

/** Puts the files that came by upload into their event. */
function withFiles(
  event: WorkerEvent,
  paths: readonly string[],
  received: Map<string, Uint8Array<ArrayBuffer>>,
): WorkerEvent {
  if (paths.length === 0 || (event.type !== 'finished' && event.type !== 'failed')) return event;
  const files = paths.map((path): AdapterFile => {
    const key = `${event.runId}/${path}`;
    const bytes = received.get(key);
    if (!bytes) throw new BrowserError(`The page did not hand over ${path}.`);
    received.delete(key);
    return { path, bytes };
  });
  return { ...event, files };
}
