/** Runs Vite for one of the bundles, and not again while nothing it reads has changed. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { giveUp, root } from './root.mjs';

const SOURCES = ['src', 'shaders', 'vite.config.ts', 'index.html', 'package-lock.json'];
/** Vite modes (vite.config.ts), each built into dist/<mode>, and what they read beside the sources. */
const EXTRA_SOURCES = {
  page: ['e2e/golden/llama-text', 'public'],
  headless: [],
  node: [],
  cases: ['e2e/kernel_cases.ts'],
};

/** The folder of an up-to-date bundle: `page`, `headless`, `node` or `cases`. */
export function ensureBuilt(mode) {
  const folder = path.join(root, 'dist', mode);
  const stampFile = path.join(folder, '.stamp');
  const stamp = fingerprint([...SOURCES, ...EXTRA_SOURCES[mode]]);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return folder;
  console.error(`Building (${mode}) …`);
  // Built aside and moved in place, so that a command running beside this one never sees half a bundle.
  const fresh = `${folder}.${process.pid}`;
  const vite = path.join(root, 'node_modules/vite/bin/vite.js');
  const args = [vite, 'build', '--mode', mode, '--outDir', fresh, '--emptyOutDir', '--logLevel', 'warn'];
  if (spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] }).status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    giveUp(`The build (${mode}) failed: see above.`);
  }
  writeFileSync(path.join(fresh, '.stamp'), stamp);
  rmSync(folder, { recursive: true, force: true });
  renameSync(fresh, folder);
  return folder;
}

/** Changes when a file below these paths does; tests are not part of a bundle. */
function fingerprint(paths) {
  const hash = createHash('sha256');
  const visit = (file) => {
    const entry = path.join(root, file);
    if (!existsSync(entry)) return;
    const { mtimeMs, size } = statSync(entry);
    if (statSync(entry).isDirectory()) {
      for (const name of readdirSync(entry).sort()) visit(`${file}/${name}`);
    } else if (!/\.test\.ts$/.test(file)) {
      hash.update(`${file} ${mtimeMs} ${size}\n`);
    }
  };
  for (const file of paths) visit(file);
  return hash.digest('hex');
}
