/** The adapter that training starts from, when it is not a fresh one. */
import { create } from 'zustand';
import type { AdapterFile } from '../worker/protocol.ts';
import type { StartingAdapter } from './check_settings.ts';
import type { Failure } from './model_store.ts';
import { setFlag } from './settings_store.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

export interface AdapterStart {
  readonly name: string;
  /** What the run takes from it. */
  readonly lora: StartingAdapter['lora'];
  readonly modules: readonly string[];
  readonly tensors: number;
}

interface AdapterState {
  readonly status: 'none' | 'reading' | 'ready' | 'failed';
  readonly runId: string;
  readonly givenName: string | null;
  readonly start: AdapterStart | null;
  readonly failure: Failure | null;
}

const NONE: AdapterState = { status: 'none', runId: '', givenName: null, start: null, failure: null };

export const useAdapter = create<AdapterState>()(() => NONE);

/** A zip, or adapter_config.json and adapter_model.safetensors; `name` where the files' own would say little. */
export function openAdapter(files: readonly File[], name: string | null = null): void {
  const runId = studioClient.newRunId('open-adapter');
  useAdapter.setState({ status: 'reading', runId, givenName: name, start: null, failure: null });
  studioClient.send({ type: 'open-adapter', runId, files });
}

export function continueFrom(name: string, files: readonly AdapterFile[]): void {
  openAdapter(
    files.map(({ path, bytes }) => new File([bytes], path.split('/').at(-1) ?? path)),
    name,
  );
}

/** Start from a fresh adapter again. */
export function clearAdapter(): void {
  if (useAdapter.getState().status === 'none') return;
  studioClient.send({ type: 'clear-adapter' });
  useAdapter.setState(NONE);
}

export function receiveForAdapter(signal: StudioSignal): void {
  if (signal.type === 'crashed') {
    useAdapter.setState(NONE);
    return;
  }
  const { runId, givenName } = useAdapter.getState();
  if (signal.runId !== runId) return;
  if (signal.type === 'adapter-ready') {
    const { name, lora, modules, tensors } = signal;
    // Its scale depends on it: a run that goes on from it must have the same.
    setFlag('use_rslora', lora.use_rslora);
    setFlag('use_dora', lora.use_dora);
    useAdapter.setState({
      status: 'ready',
      start: { name: givenName ?? name, lora, modules, tensors },
    });
  } else if (signal.type === 'failed') {
    useAdapter.setState({ status: 'failed', failure: { name: signal.name, message: signal.message } });
  }
}
