/** What a run needs from where it runs: a browser's worker and Node give it each in their own way. */

import type { Folder } from '../formats/range_source.ts';
import type { CreateScratch } from '../formats/scratch.ts';
import type { PageDisk } from '../storage/page_disk.ts';
import type { FolderLocation } from './protocol.ts';
import type { CreateTemplateWorker } from './template_protocol.ts';

export interface WorkerPorts {
  /** Opens lazily: a folder that does not exist shows when its first file is asked for. */
  openFolder(location: FolderLocation): Folder;
  readonly createScratch: CreateScratch;
  /** Where a run's checkpoints go, for this run alone until it is closed. @throws RunLockedError */
  openRunDisk(location: FolderLocation): Promise<PageDisk>;
  /** A disk of its own for pages, gone with its `close`: for benches, where there is one. */
  openScratchDisk?(): Promise<PageDisk>;
  /** WebGPU; asked for after everything else has been checked. Undefined where there is none. */
  requestGpu(): Promise<GPU | undefined>;
  /** A worker that can be thrown away, for the model's chat template. */
  readonly createTemplateWorker: CreateTemplateWorker;
}
