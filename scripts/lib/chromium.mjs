/** Finds a Chromium, or installs Debian's where the machine allows it. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { giveUp } from './root.mjs';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** Sets $CHROMIUM for everything that follows, and returns it. Ends the program when there is no way to get one. */
export function ensureChromium() {
  const asked = process.env.CHROMIUM;
  if (asked && !isExecutable(asked)) {
    giveUp(`CHROMIUM is set to ${asked}, which is not a program. Correct or unset it.`);
  }
  const found = asked || findChromium() || installChromium();
  process.env.CHROMIUM = found;
  return found;
}

/** The path of a Chromium or Chrome on this machine, or undefined. */
export function findChromium() {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean);
  const candidates = [...NAMES.flatMap((name) => folders.map((folder) => path.join(folder, name))), ...knownPlaces()];
  return candidates.find(isExecutable);
}

function knownPlaces() {
  const home = os.homedir();
  switch (process.platform) {
    case 'darwin':
      return ['/Applications', path.join(home, 'Applications')].flatMap((folder) => [
        `${folder}/Chromium.app/Contents/MacOS/Chromium`,
        `${folder}/Google Chrome.app/Contents/MacOS/Google Chrome`,
        `${folder}/Microsoft Edge.app/Contents/MacOS/Microsoft Edge`,
      ]);
    case 'win32':
      return [process.env.PROGRAMFILES, process.env['PROGRAMFILES(X86)'], process.env.LOCALAPPDATA]
        .filter(Boolean)
        .flatMap((folder) => [
          path.join(folder, 'Chromium/Application/chrome.exe'),
          path.join(folder, 'Google/Chrome/Application/chrome.exe'),
          path.join(folder, 'Microsoft/Edge/Application/msedge.exe'),
        ]);
    default:
      return [
        '/usr/lib/chromium/chromium',
        '/usr/lib/chromium-browser/chromium-browser',
        '/snap/bin/chromium',
        '/opt/google/chrome/chrome',
        ...playwrightBrowsers(path.join(home, '.cache/ms-playwright')),
      ];
  }
}

/** Browsers that Playwright downloaded for another project serve as well; the newest first. */
function playwrightBrowsers(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^chromium-\d+$/.test(name))
    .sort((a, b) => Number(b.slice(9)) - Number(a.slice(9)))
    .flatMap((name) => ['chrome-linux64/chrome', 'chrome-linux/chrome'].map((file) => path.join(folder, name, file)));
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function installChromium() {
  const apt = aptCommand();
  if (apt) {
    console.error('No Chromium found: installing the package chromium with apt-get …');
    const install = ['install', '-y', '--no-install-recommends', 'chromium'];
    // A fresh container has no package lists: fetch them only when the first try fails.
    if (!runApt(apt, install)) {
      runApt(apt, ['update']);
      runApt(apt, install);
    }
    const found = findChromium();
    // Ubuntu's package is a stub that asks for snap: it must run to count.
    if (found && spawnSync(found, ['--version', '--no-sandbox'], { timeout: 60_000 }).status === 0) return found;
  }
  return giveUp(
    [
      'This command runs WebGPU in a Chromium, and none was found.',
      '  Debian:          sudo apt-get install chromium',
      '  Fedora, Arch:    install the package chromium',
      '  macOS, Windows:  install Google Chrome or Chromium',
      'If it is in an unusual place, set CHROMIUM to the program and start again.',
    ].join('\n'),
  );
}

/** apt-get with the rights to install, as a command's words; undefined when there is none. */
function aptCommand() {
  if (process.platform !== 'linux' || spawnSync('apt-get', ['--version']).status !== 0) return undefined;
  if (process.getuid?.() === 0) return ['apt-get'];
  return spawnSync('sudo', ['-n', 'true']).status === 0 ? ['sudo', '-n', 'apt-get'] : undefined;
}

function runApt([program, ...words], args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(program, [...words, ...args], { stdio: ['ignore', 2, 2], env }).status === 0;
}
