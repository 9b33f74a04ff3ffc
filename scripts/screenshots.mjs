/** `npm run screenshots [-- NAME…]`: builds e2e/screenshots.ts, which takes pictures of every screen, and runs it. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureChromium } from './lib/chromium.mjs';
import { ensureDependencies } from './lib/dependencies.mjs';
import { root } from './lib/root.mjs';

ensureDependencies();
ensureChromium();
const { build } = await import('vite');
await build({
  root,
  configFile: false,
  publicDir: false,
  logLevel: 'warn',
  // One folder below the root, as e2e is: what is in it finds the root from there.
  build: { ssr: 'e2e/screenshots.ts', outDir: 'dist', emptyOutDir: false },
});
await import(pathToFileURL(path.join(root, 'dist/screenshots.js')).href);
