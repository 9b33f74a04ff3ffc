/**
 * `npm run parity`, `train`, `quantize`, `bench`: installs and builds what is missing, then runs the command line in this very
 * process, so that Ctrl-C reaches it once and not through a chain of children.
 */
import { pathToFileURL } from 'node:url';
import { ensureBuilt } from './lib/build.mjs';
import { ensureChromium } from './lib/chromium.mjs';
import { ensureDependencies } from './lib/dependencies.mjs';

const args = process.argv.slice(2);
ensureDependencies();
const { main, runtimeOf } = await import(pathToFileURL(`${ensureBuilt('node')}/cli.mjs`).href);
let headlessPage = null;
if (runtimeOf(args) === 'chromium') {
  ensureChromium();
  headlessPage = ensureBuilt('headless');
}
process.exit(await main(args, { headlessPage }));
