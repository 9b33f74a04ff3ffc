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

const BY_ADAPTER: Readonly<Record<Adapter, readonly string[]>> = {
  swiftshader: ['--use-webgpu-adapter=swiftshader'],
  system: ['--ignore-gpu-blocklist', '--use-webgpu-power-preference=force-high-performance'],
  nvidia: NVIDIA,
  'nvidia-f16': [...NVIDIA, '--enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'],
};

export const chromiumFlags = (adapter: Adapter): string[] => [...ALWAYS, ...BY_ADAPTER[adapter]];
