/** A model or dataset of the Hugging Face Hub as a Folder, every read pinned to one commit. */
import { datasetInfo, listFiles, modelInfo } from '@huggingface/hub';
import { FileMissingError, type Folder, type RangeSource } from '../formats/range_source.ts';
import { type ConnectionOptions, HubConnection } from './connection.ts';
import { RemoteFile } from './download.ts';
import { HubAnswerError, HubError } from './errors.ts';
import { HubFile, ReadBudget } from './hub_file.ts';
import { parseDatasetId, parseModelId } from './model_id.ts';
import type { Spool } from './spool.ts';

export interface HubFileInfo {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** The content's SHA-256 for files in large-file storage, else its git blob id. */
  readonly oid: string;
  /** Whether `oid` is a SHA-256. */
  readonly large: boolean;
}

export interface HubFileProgress {
  readonly file: string;
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

export interface HubProgress {
  /** The files that were read from, in the order of their first read. */
  readonly files: readonly HubFileProgress[];
  /** Their sums. */
  readonly loadedBytes: number;
  readonly totalBytes: number;
  /** The hosts that were spoken to so far. */
  readonly hosts: readonly string[];
}

export interface HubFolder extends Folder {
  /** The model's id as the Hub writes it, also `name`. */
  readonly id: string;
  /** What the revision stood for when the folder was opened. */
  readonly commit: string;
  /** Whether reading files may need a token and an accepted licence. */
  readonly gated: boolean;
  readonly files: readonly HubFileInfo[];
  readonly progress: HubProgress;
  /** Large files that are opened from now on are kept there as they arrive, and begin with what is there. */
  keepIn(spool: Spool): void;
  /** Whether all of a file's bytes [begin, end) were read. */
  wasRead(path: string, begin: number, end: number): boolean;
  /** Ends requests under way and lets go of what was read ahead. Reads reject with an AbortError from then on. */
  close(): void;
}

export interface HubFolderOptions extends ConnectionOptions {
  /** `org/name`, or an address copied from the Hub. */
  readonly id: string;
  /** Default: a model. */
  readonly kind?: 'model' | 'dataset';
  /** A branch, tag or commit; one in `id` comes first. */
  readonly revision?: string;
  /** At most every `progressMs`, and when a file is complete. */
  readonly onProgress?: (progress: HubProgress) => void;
  /** Default 100. */
  readonly progressMs?: number;
}

/** More files than any model has; a listing without end must not fill the memory. */
const FILE_CAP = 20_000;

/**
 * Resolves the revision to a commit and lists its files; no file is read. Rejects with ModelIdError, ModelNotFoundError,
 * GatedModelError, OfflineError, HubBusyError or HubAnswerError. Reads of the folder's files may reject with these too,
 * and with ModelChangedError and NotAModelFileError; after a GatedModelError they can be repeated with a token.
 */
export async function openHubFolder(options: HubFolderOptions): Promise<HubFolder> {
  const { kind = 'model' } = options;
  const parse = kind === 'dataset' ? parseDatasetId : parseModelId;
  const { id: asked, revision: pasted } = parse(options.id, options.hubUrl);
  const revision = pasted ?? options.revision ?? 'main';
  const connection = new HubConnection(options);
  try {
    const { hubUrl } = connection;
    const api = connection.api(asked);
    const wanted = { name: asked, revision, hubUrl, fetch: api };
    const info =
      kind === 'dataset'
        ? await datasetInfo({ ...wanted, additionalFields: ['sha'] })
        : await modelInfo({ ...wanted, additionalFields: ['sha'] });
    const commit = info.sha;
    if (typeof info.name !== 'string' || typeof commit !== 'string' || !/^[0-9a-f]{40}$/.test(commit)) {
      throw new HubAnswerError(`${asked}: the Hub does not say which commit ${revision} is. Check the Hub's address.`);
    }
    // A renamed model answers under its new name.
    const { id } = parse(info.name, hubUrl);
    const files: HubFileInfo[] = [];
    for await (const entry of listFiles({
      repo: { type: kind, name: id },
      revision: commit,
      recursive: true,
      hubUrl,
      fetch: api,
    })) {
      if (entry.type === 'file') files.push(fileInfo(id, entry));
      if (files.length > FILE_CAP) {
        throw new HubAnswerError(`${id} has more than ${FILE_CAP} files. Choose another one.`);
      }
    }
    return new Hub(connection, options, { id, commit, gated: info.gated !== false, files });
  } catch (error) {
    connection.close();
    if (error instanceof HubError || options.signal?.aborted) throw error;
    const detail = error instanceof Error ? error.message.slice(0, 200) : String(error);
    throw new HubAnswerError(`${asked}: the Hub's answer cannot be read (${detail}). Check the Hub's address.`);
  }
}

function fileInfo(
  id: string,
  entry: { path: string; size: number; oid?: string; lfs?: { oid: string; size: number } },
): HubFileInfo {
  const { path, lfs } = entry;
  const size = lfs?.size ?? entry.size;
  const parts = typeof path === 'string' ? path.split('/') : [''];
  // Git can store no such names: whoever lists them wants to reach something else.
  if (parts.some((part) => part === '' || part === '.' || part === '..') || !Number.isSafeInteger(size) || size < 0) {
    throw new HubAnswerError(
      `${id} lists a file ${JSON.stringify(path)} that cannot exist. Do not trust this model, or choose another.`,
    );
  }
  return { path, size, oid: lfs?.oid ?? entry.oid ?? '', large: lfs !== undefined };
}

interface HubModel {
  readonly id: string;
  readonly commit: string;
  readonly gated: boolean;
  readonly files: readonly HubFileInfo[];
}

class Hub implements HubFolder {
  readonly id: string;
  readonly name: string;
  readonly commit: string;
  readonly gated: boolean;
  readonly files: readonly HubFileInfo[];
  /** Of the addresses of its files. */
  readonly #prefix: readonly string[];
  readonly #connection: HubConnection;
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #opened = new Map<string, HubFile>();
  readonly #budget = new ReadBudget();
  readonly #onProgress: ((progress: HubProgress) => void) | undefined;
  readonly #progressMs: number;
  #lastProgress = Number.NEGATIVE_INFINITY;
  #spool: Spool | null = null;

  constructor(connection: HubConnection, options: HubFolderOptions, model: HubModel) {
    this.id = model.id;
    this.name = model.id;
    this.commit = model.commit;
    this.gated = model.gated;
    this.files = model.files;
    this.#prefix = options.kind === 'dataset' ? ['datasets'] : [];
    this.#connection = connection;
    this.#sizes = new Map(model.files.map(({ path, size }) => [path, size]));
    this.#onProgress = options.onProgress;
    this.#progressMs = options.progressMs ?? 100;
  }

  async has(path: string): Promise<boolean> {
    return this.#sizes.has(path);
  }

  /** No request: the listing says what there is. */
  async open(path: string): Promise<RangeSource> {
    const size = this.#sizes.get(path);
    if (size === undefined) throw new FileMissingError(this.name, path);
    let file = this.#opened.get(path);
    if (!file) {
      const address = [
        ...this.#prefix,
        this.id,
        'resolve',
        this.commit,
        ...path.split('/').map(encodeURIComponent),
      ].join('/');
      const remote = new RemoteFile(`${this.name}/${path}`, size, new URL(`${this.#connection.hubUrl}/${address}`));
      const spooled = this.#spool && { spool: this.#spool, path };
      const opened = new HubFile(this.#connection, remote, this.#budget, () => this.#report(opened), spooled);
      file = opened;
      this.#opened.set(path, file);
    }
    return file;
  }

  keepIn(spool: Spool): void {
    this.#spool = spool;
  }

  wasRead(path: string, begin: number, end: number): boolean {
    return this.#opened.get(path)?.wasRead(begin, end) ?? false;
  }

  get progress(): HubProgress {
    const files = [...this.#opened]
      .map(([file, source]) => ({ file, loadedBytes: source.loadedBytes, totalBytes: source.size }))
      .filter(({ loadedBytes }) => loadedBytes > 0);
    return {
      files,
      loadedBytes: files.reduce((sum, file) => sum + file.loadedBytes, 0),
      totalBytes: files.reduce((sum, file) => sum + file.totalBytes, 0),
      hosts: [...this.#connection.hosts],
    };
  }

  close(): void {
    this.#connection.close();
    for (const file of this.#opened.values()) file.close();
  }

  #report(file: HubFile): void {
    if (!this.#onProgress) return;
    const now = performance.now();
    if (now - this.#lastProgress < this.#progressMs && file.loadedBytes < file.size) return;
    this.#lastProgress = now;
    this.#onProgress(this.progress);
  }
}
