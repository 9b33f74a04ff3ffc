/** Where WebGPU is, browser by browser, and which of them this one is. */

export interface BrowserHelp {
  readonly id: 'chromium' | 'safari' | 'firefox' | 'linux' | 'mobile';
  readonly name: string;
  readonly steps: readonly string[];
}

export const BROWSER_HELP: readonly BrowserHelp[] = [
  {
    id: 'chromium',
    name: 'Chrome and Edge on Windows, macOS and ChromeOS',
    steps: [
      'Update to the newest version: menu, Help, About.',
      'In the settings, under System, switch on “Use graphics acceleration when available” and start the browser again.',
      'Still nothing? Open chrome://gpu and look at the line WebGPU: it says why it is off.',
    ],
  },
  {
    id: 'safari',
    name: 'Safari on macOS',
    steps: [
      'WebGPU is in Safari 26, which comes with macOS 26; update the system.',
      'On an older macOS, use Chrome or Edge: they bring their own WebGPU.',
    ],
  },
  {
    id: 'firefox',
    name: 'Firefox on Windows and macOS',
    steps: [
      'Windows: Firefox 141 or newer. macOS with Apple silicon: Firefox 145 or newer.',
      'Where it is still off, open about:config and set dom.webgpu.enabled to true.',
    ],
  },
  {
    id: 'linux',
    name: 'Linux',
    steps: [
      'Use Chrome or Chromium with a Vulkan driver (Mesa, or NVIDIA’s own).',
      'Open chrome://flags, switch on “Unsafe WebGPU Support” and “Vulkan”, then start the browser again.',
      'Firefox Nightly has WebGPU on Linux too.',
    ],
  },
  {
    id: 'mobile',
    name: 'Phones and tablets',
    steps: [
      'Android 12 or newer: Chrome with a Qualcomm or ARM GPU. iPhone and iPad: Safari on iOS 26.',
      'Training needs memory and heat to spare: a laptop or desktop computer is the better place.',
    ],
  },
];

/** Which advice fits a userAgent. */
export function browserOf(userAgent: string): BrowserHelp['id'] {
  if (/Android|iPhone|iPad|Mobile/.test(userAgent)) return 'mobile';
  if (/Firefox\//.test(userAgent)) return /Linux/.test(userAgent) ? 'linux' : 'firefox';
  if (/Linux/.test(userAgent) && !/CrOS/.test(userAgent)) return 'linux';
  if (/Chrome\/|Chromium\/|Edg\//.test(userAgent)) return 'chromium';
  return /Safari\//.test(userAgent) ? 'safari' : 'chromium';
}
