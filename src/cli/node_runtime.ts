/** The worker's code in this very process, on Dawn. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { WorkerPorts } from '../worker/ports.ts';
import type { WorkerEvent } from '../worker/protocol.ts';
import { runCommand } from '../worker/session.ts';
import type { Adapter } from './chromium_flags.ts';
import { requestDawn } from './dawn.ts';
import { diskFolder } from './disk_folder.ts';
import { createDiskScratch } from './disk_scratch.ts';
import type { OpenDisk } from './disk_server.ts';
import { openFileDisk } from './file_disk.ts';
import type { Runtime } from './runtime.ts';
import { createTemplateThread } from './template_thread.ts';

const NO_ADAPTER_ADVICE =
  'Dawn found no graphics adapter. Install a Vulkan driver: that of your GPU, or Mesa 25 or newer for the software one ' +
  '(mesa-vulkan-drivers; in Debian 12 from bookworm-backports), or Chromium, whose SwiftShader serves as well.';

export function nodeRuntime(options: { adapter: Adapter; toggles: readonly string[] }): Runtime {
  const disks = new Map<string, OpenDisk>();
  const ports: WorkerPorts = {
    openFolder(location) {
      if (location.kind === 'disk') return diskFolder(location.path);
      throw new Error('In Node folders are read from disk.');
    },
    createScratch: createDiskScratch,
    async openRunDisk(location) {
      const open = location.kind === 'disk' ? disks.get(location.path) : undefined;
      if (!open) throw new Error('In Node a run’s checkpoints are on this machine’s disk.');
      return open();
    },
    async openScratchDisk() {
      const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-pages-'));
      const disk = await openFileDisk(directory);
      const close = disk.close.bind(disk);
      disk.close = async () => {
        await close();
        rmSync(directory, { recursive: true, force: true });
      };
      return disk;
    },
    requestGpu: () => requestDawn(options.adapter, options.toggles),
    createTemplateWorker: createTemplateThread,
  };
  return {
    locate: (directory) => ({ kind: 'disk', path: directory }),
    serveDisk(open) {
      const path = `checkpoints ${disks.size}`;
      disks.set(path, open);
      return { kind: 'disk', path };
    },
    run(command, onEvent, stop) {
      return runCommand(command, (event) => onEvent(adviseOnDriver(event)), ports, stop);
    },
    async close() {},
  };
}

/** The engine's advice is for a browser. */
function adviseOnDriver(event: WorkerEvent): WorkerEvent {
  return event.type === 'failed' && event.name === 'NoGpuError' ? { ...event, message: NO_ADAPTER_ADVICE } : event;
}
