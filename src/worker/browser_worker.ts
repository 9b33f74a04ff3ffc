/** The Web Worker's entry: commands in, events out. */
import { httpFolder } from '../hub/http_folder.ts';
import { openBrowserDisk, removeBrowserDisk } from '../storage/browser_disk.ts';
import { openStudioDatabase } from '../storage/database.ts';
import { openHttpDisk } from '../storage/http_disk.ts';
import { createBrowserTemplateWorker } from './browser_template_worker.ts';
import { createOpfsScratch } from './opfs_scratch.ts';
import type { WorkerPorts } from './ports.ts';
import type { Command, WorkerEvent } from './protocol.ts';
import { runCommand } from './session.ts';

const ports: WorkerPorts = {
  openFolder(location) {
    if (location.kind === 'http') return httpFolder(location.url);
    throw new Error('A page cannot open a folder by its path on disk. Drop the folder, or serve it over HTTP.');
  },
  createScratch: createOpfsScratch,
  async openRunDisk(location) {
    if (location.kind === 'http') return openHttpDisk(location.url);
    throw new Error('A page cannot write to a folder by its path on disk.');
  },
  async openScratchDisk() {
    const run = `bench-${crypto.randomUUID()}`;
    const database = await openStudioDatabase('nibble-bench');
    const disk = await openBrowserDisk(database, run);
    const close = disk.close.bind(disk);
    disk.close = async () => {
      await close();
      await removeBrowserDisk(database, run);
      database.close();
    };
    return disk;
  },
  requestGpu: async () => navigator.gpu,
  createTemplateWorker: createBrowserTemplateWorker,
};

const running = new Map<string, AbortController>();

/** An adapter's bytes change hands instead of being copied: they can be hundreds of megabytes. */
function emit(event: WorkerEvent): void {
  const files = 'files' in event ? (event.files ?? []) : [];
  self.postMessage(event, { transfer: files.map(({ bytes }) => bytes.buffer) });
}

self.addEventListener('message', ({ data: command }: MessageEvent<Command>) => {
  const { runId } = command;
  if (command.type === 'stop') {
    running.get(runId)?.abort();
    return;
  }
  const controller = new AbortController();
  running.set(runId, controller);
  void runCommand(command, emit, ports, controller.signal).finally(() => running.delete(runId));
});
