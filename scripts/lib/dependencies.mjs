/** Brings node_modules in line with package-lock.json, so that a fresh clone needs no step of its own. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { giveUp, root } from './root.mjs';

/** Vite's own requirement. */
const NODE_NEEDED = [20, 19];

export function ensureDependencies() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < NODE_NEEDED[0] || (major === NODE_NEEDED[0] && minor < NODE_NEEDED[1])) {
    giveUp(`Node ${process.versions.node} is too old: install Node ${NODE_NEEDED.join('.')} or newer and start again.`);
  }
  if (isInstalled()) return;
  console.error('Installing the packages of package-lock.json (npm ci) …');
  // stdout belongs to the command that follows (parity prints JSON there), so npm talks on stderr.
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (npm.status !== 0) giveUp('npm ci failed: see above. Check the network connection and start again.');
}

/**
 * Compares versions rather than times: a clone or a checkout sets times at will. npm leaves a copy of the lock file in
 * node_modules that says what it installed.
 */
function isInstalled() {
  const installedLock = path.join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installedLock)) return false;
  const wanted = readPackages(path.join(root, 'package-lock.json'));
  const installed = readPackages(installedLock);
  return Object.entries(wanted).every(
    ([name, { version, optional, devOptional, link }]) =>
      name === '' || link || optional || devOptional || installed[name]?.version === version,
  );
}

function readPackages(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
}
