/** `npm run kernels`: every kernel case in Node on Dawn (e2e/kernel_cases.ts). */
import { pathToFileURL } from 'node:url';
import { ensureBuilt } from './lib/build.mjs';
import { ensureDependencies } from './lib/dependencies.mjs';

ensureDependencies();
const { main } = await import(pathToFileURL(`${ensureBuilt('cases')}/cases.mjs`).href);
process.exit(await main(process.argv.slice(2)));
