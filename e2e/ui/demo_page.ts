/** The page with a worker that plays its part, built once, served with its policy, watched for complaints. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright';
import { build } from 'vite';
import { chromiumFlags } from '../../src/cli/chromium_flags.ts';
import { LocalServer } from '../../src/cli/local_server.ts';
import { ROOT } from '../command_line.ts';

export interface Visit {
  readonly page: Page;
  /** What the console said, what was thrown, what the policy refused. */
  readonly complaints: string[];
}

export interface VisitOptions {
  /** What follows `?demo-ui`, and the screen. */
  readonly tune?: string;
  readonly screen?: string;
  readonly width?: number;
  readonly scheme?: 'light' | 'dark';
  readonly before?: (page: Page) => Promise<unknown>;
}

/** Builds a bundle into a folder of its own. */
export async function buildPage(mode: 'demo' | 'page'): Promise<string> {
  const outDir = await mkdtemp(path.join(os.tmpdir(), `nibble-${mode}-`));
  const configFile = path.join(ROOT, 'vite.config.ts');
  await build({ root: ROOT, configFile, mode, logLevel: 'warn', build: { outDir, emptyOutDir: true } });
  return outDir;
}

export class DemoPage {
  readonly #folder: string;
  readonly #server: LocalServer;
  readonly #browser: Browser;
  readonly address: string;

  private constructor(folder: string, server: LocalServer, browser: Browser) {
    this.#folder = folder;
    this.#server = server;
    this.#browser = browser;
    this.address = server.mountRoot(folder);
  }

  static async start(): Promise<DemoPage> {
    const folder = await buildPage('demo');
    const browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: chromiumFlags('swiftshader'),
    });
    return new DemoPage(folder, await LocalServer.start(), browser);
  }

  async visit({
    tune = '&speed=40',
    screen = 'model',
    width = 1280,
    scheme,
    before,
  }: VisitOptions = {}): Promise<Visit> {
    const context = await this.#browser.newContext({
      viewport: { width, height: 900 },
      reducedMotion: 'reduce',
      ...(scheme && { colorScheme: scheme }),
    });
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', ({ message }) => complaints.push(message));
    await page.addInitScript(() => {
      // The dialog is the system's: no test can answer it. Without it the page downloads.
      Reflect.deleteProperty(window, 'showSaveFilePicker');
      document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
        console.error(`Content-Security-Policy: ${violatedDirective} refused ${blockedURI}`),
      );
    });
    await before?.(page);
    await page.goto(`${this.address}?demo-ui${tune}#${screen}`);
    return { page, complaints };
  }

  async close(): Promise<void> {
    await this.#browser.close();
    await this.#server.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
