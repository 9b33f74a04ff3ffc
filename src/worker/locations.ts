/** A RunConfig's paths are relative to its own folder; this finds them, wherever that folder is. */

import type { Folder } from '../formats/range_source.ts';
import type { CreateScratch } from '../formats/scratch.ts';
import type { WorkerPorts } from './ports.ts';
import type { FolderLocation } from './protocol.ts';
import type { CreateTemplateWorker } from './template_protocol.ts';

/** Opens the folders and files that a RunConfig names. */
export class Locator {
  readonly #ports: WorkerPorts;
  readonly #base: FolderLocation;
  readonly #folders: Readonly<Record<string, FolderLocation>>;

  /** `folders` says where paths are that do not lie below `base`, by the path as the RunConfig has it. */
  constructor(ports: WorkerPorts, base: FolderLocation, folders: Readonly<Record<string, FolderLocation>> = {}) {
    this.#ports = ports;
    this.#base = base;
    this.#folders = folders;
  }

  /** For the model's chat template. */
  get createTemplateWorker(): CreateTemplateWorker {
    return this.#ports.createTemplateWorker;
  }

  folder(path: string): Folder {
    return this.#ports.openFolder(this.#folders[path] ?? below(this.#base, path));
  }

  /** Room for what a compressed file becomes. */
  get createScratch(): CreateScratch {
    return this.#ports.createScratch;
  }

  /** A file's folder and its name there. */
  file(path: string): { folder: Folder; name: string } {
    const [directory, name] = splitPath(path);
    return { folder: this.folder(directory), name };
  }
}

/** `a/b/c.jsonl` → [`a/b`, `c.jsonl`]; a bare name lies in `.`. */
export function splitPath(path: string): [directory: string, name: string] {
  const slash = Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\'));
  if (slash < 0) return ['.', path];
  return [slash === 0 ? '/' : path.slice(0, slash), path.slice(slash + 1)];
}

function below(base: FolderLocation, path: string): FolderLocation {
  if (base.kind === 'disk') {
    const absolute = /^([/\\]|[A-Za-z]:[/\\])/.test(path);
    return { kind: 'disk', path: absolute ? path : `${base.path}/${path}` };
  }
  if (/^https?:\/\//.test(path)) return { kind: 'http', url: path };
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  const folder = base.url.endsWith('/') ? base.url : `${base.url}/`;
  return { kind: 'http', url: new URL(`${encoded}/`, folder).href };
}
