/** Where a run's worker lives: a headless browser, or this process. */
import type { FolderLocation, RunCommand, WorkerEvent } from '../worker/protocol.ts';
import type { OpenDisk } from './disk_server.ts';

export interface Runtime {
  /** Makes a folder of this machine reachable for the worker. */
  locate(directory: string): FolderLocation;
  /** Makes a place for checkpoints reachable for the worker; `open` is called when it asks for it. */
  serveDisk(open: OpenDisk): FolderLocation;
  /** Runs a command to its last event. Aborting `stop` asks for an end after the step in flight. */
  run(command: RunCommand, onEvent: (event: WorkerEvent) => void, stop: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** The events that end a run. */
export function isLast({ type }: WorkerEvent): boolean {
  return ['finished', 'parity', 'quantized', 'benched', 'failed'].includes(type);
}
