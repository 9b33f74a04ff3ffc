/** What the GPU is, or why there is none. */
import { create } from 'zustand';
import type { AdapterInfo } from '../worker/protocol.ts';
import { hubUrl } from './hub_url.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

export type Device =
  | { readonly status: 'starting' }
  | { readonly status: 'ready'; readonly adapter: AdapterInfo }
  /** `secure` is false where the page itself keeps the browser from offering WebGPU. */
  | { readonly status: 'no-webgpu'; readonly secure: boolean }
  | { readonly status: 'no-adapter'; readonly message: string }
  | { readonly status: 'failed'; readonly message: string };

export const useDevice = create<{ device: Device; runId: string }>()(() => ({
  device: { status: 'starting' },
  runId: '',
}));

export function startDevice(): void {
  if (!navigator.gpu) {
    useDevice.setState({ device: { status: 'no-webgpu', secure: globalThis.isSecureContext } });
    return;
  }
  const runId = studioClient.newRunId('start');
  useDevice.setState({ device: { status: 'starting' }, runId });
  studioClient.send({ type: 'start', runId, hubUrl: hubUrl() });
}

export function receiveForDevice(signal: StudioSignal): void {
  if (signal.type === 'crashed') {
    useDevice.setState({ device: { status: 'failed', message: signal.message } });
    return;
  }
  if (signal.runId !== useDevice.getState().runId) return;
  if (signal.type === 'device') useDevice.setState({ device: { status: 'ready', adapter: signal.adapter } });
  else if (signal.type === 'failed') {
    const status = signal.name === 'NoGpuError' ? 'no-adapter' : 'failed';
    useDevice.setState({ device: { status, message: signal.message } });
  }
}
