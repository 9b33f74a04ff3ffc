/** `npm start`: from a fresh clone to the page in the browser. */
import { pathToFileURL } from 'node:url';
import { ensureBuilt } from './lib/build.mjs';
import { ensureDependencies } from './lib/dependencies.mjs';

ensureDependencies();
const page = ensureBuilt('page');
const { main } = await import(pathToFileURL(`${ensureBuilt('node')}/cli.mjs`).href);
process.exitCode = await main(['serve', page, ...process.argv.slice(2)]);
