/** WebGPU for Node: the npm package `webgpu` (Dawn). */
import { existsSync, realpathSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';
import { type Adapter, UNZEROED } from './chromium_flags.ts';

declare global {
  /** Dawn's objects for the life of the process: once collected, the process aborts. */
  var nibbleDawn: GPU[] | undefined;
}

/** An instance with an adapter; without a driver on this machine, on Chromium's SwiftShader. Undefined when neither is there. */
export async function requestDawn(adapter: Adapter, toggles: readonly string[]): Promise<GPU | undefined> {
  // Mesa's drivers complain on stderr without it.
  if (process.platform === 'linux') process.env.XDG_RUNTIME_DIR ??= tmpdir();
  if (adapter === 'swiftshader') return softwareDawn(toggles);
  const features =
    adapter === 'nvidia-f16' ? ['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'] : [];
  return (await createDawn([...features, ...toggles])) ?? (await softwareDawn(toggles));
}

/** `name=a` and `name=b` as `name=a,b`: Dawn heeds one of a name. */
function joinLists(options: readonly string[]): string[] {
  const joined = new Map<string, string>();
  for (const option of options) {
    const [name, value] = option.split(/=(.*)/s);
    const known = joined.get(name);
    joined.set(name, known === undefined || value === undefined ? option : `${known},${value}`);
  }
  return [...joined.values()];
}

async function softwareDawn(toggles: readonly string[]): Promise<GPU | undefined> {
  const folder = chromiumFolder();
  if (!folder) return undefined;
  // The Vulkan loader reads it when an instance is made.
  process.env.VK_DRIVER_FILES = path.join(folder, SWIFTSHADER);
  if (process.platform === 'linux') loadForGood(path.join(folder, 'libvulkan.so.1'));
  return createDawn([`enable-dawn-features=${UNZEROED}`, ...toggles]);
}

/** glibc's and musl's RTLD_NODELETE. */
const KEEP_LOADED = 0x1000;

/**
 * Chromium brings the Vulkan loader too, where LD_LIBRARY_PATH does not look and can no longer be told to. Once in the
 * process, Dawn finds it by its name. It is no Node add-on: Node says so after it has been loaded, and means no harm.
 */
function loadForGood(library: string): void {
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | KEEP_LOADED);
  } catch {
    // Either way Dawn says next whether there is a loader.
  }
}

async function createDawn(toggles: readonly string[]): Promise<GPU | undefined> {
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const gpu = create(joinLists(toggles));
  globalThis.nibbleDawn ??= [];
  globalThis.nibbleDawn.push(gpu);
  return (await gpu.requestAdapter()) ? gpu : undefined;
}

const SWIFTSHADER = 'vk_swiftshader_icd.json';

/** Chromium brings a Vulkan driver of its own, in its folder; the program on PATH may be a script or a link elsewhere. */
function chromiumFolder(): string | undefined {
  const program = process.env.CHROMIUM;
  const folders = [
    ...(program && existsSync(program) ? [path.dirname(realpathSync(program))] : []),
    '/usr/lib/chromium',
    '/usr/lib/chromium-browser',
    '/opt/google/chrome',
  ];
  return folders.find((folder) => existsSync(path.join(folder, SWIFTSHADER)));
}
