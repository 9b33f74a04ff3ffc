/** Chromium's switches for WebGPU without a window, by the adapter that is wanted. */

export const ADAPTERS = ['swiftshader', 'system', 'nvidia', 'nvidia-f16'] as const;
export type Adapter = (typeof ADAPTERS)[number];

/** The sandbox needs rights that a container lacks; only pages of our own are opened. */
const ALWAYS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--enable-unsafe-webgpu',
];

/** Without these a headless Chromium falls back to SwiftShader in silence. */
const NVIDIA = [
  '--ignore-gpu-blocklist',
  '--disable-gpu-sandbox',
  '--enable-features=Vulkan',
  '--use-angle=vulkan',
  '--disable-vulkan-surface',
  '--use-webgpu-power-preference=force-high-performance',
];

/**
 * SwiftShader compiles a store for every word of workgroup memory that WebGPU zeroes, most of a kernel's compile time.
 * Kernels write before they read (every kernel's cases run without the zeros too); pages cannot switch it off.
 */
export const UNZEROED = 'disable_workgroup_init';

const BY_ADAPTER: Readonly<Record<Adapter, readonly string[]>> = {
  swiftshader: ['--use-webgpu-adapter=swiftshader', `--enable-dawn-features=${UNZEROED}`],
  system: ['--ignore-gpu-blocklist', '--use-webgpu-power-preference=force-high-performance'],
  nvidia: NVIDIA,
  'nvidia-f16': [...NVIDIA, '--enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'],
};

/** Switches whose values are lists: Chromium heeds the last one only, so that several have to be joined. */
const LISTS = ['--enable-features', '--disable-features', '--enable-dawn-features', '--disable-dawn-features'];

/** The switches for an adapter, and `extra` ones. */
export function chromiumFlags(adapter: Adapter, extra: readonly string[] = []): string[] {
  const joined = new Map<string, string>();
  for (const flag of [...ALWAYS, ...BY_ADAPTER[adapter], ...extra]) {
    const [name, value] = flag.split(/=(.*)/s);
    const known = joined.get(name);
    if (known !== undefined && LISTS.includes(name)) joined.set(name, `${known},${value}`);
    else joined.set(name, flag);
  }
  return [...joined.values()];
}

/** `--toggles a,-b`: Dawn toggles to turn on and off, as switches of Chromium. */
export function toggleFlags(toggles: readonly string[]): string[] {
  return dawnToggleOptions(toggles).map((option) => `--${option}`);
}

/** The same as Dawn for Node takes them. */
export function dawnToggleOptions(toggles: readonly string[]): string[] {
  const [on, off] = [toggles.filter((name) => !name.startsWith('-')), toggles.filter((name) => name.startsWith('-'))];
  return [
    ...(on.length > 0 ? [`enable-dawn-features=${on.join(',')}`] : []),
    ...(off.length > 0 ? [`disable-dawn-features=${off.map((name) => name.slice(1)).join(',')}`] : []),
  ];
}
