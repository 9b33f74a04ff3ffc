/** The Hub's models: commits of files, as the API lists them and the storage holds them. */
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { expectedTensors } from '../../src/formats/check_checkpoint.ts';
import { parseModelConfig } from '../../src/formats/model_config.ts';
import { type SeedDtype, shardFiles, tensorsFromSeed, tensorsOnDisk } from './shards.ts';
import { diskFile, textFile, VirtualFile } from './virtual_file.ts';

/** What a test says of a model. */
export interface RepositoryOptions {
  /** `org/name` */
  readonly id: string;
  /** A model folder on disk. */
  readonly directory?: string;
  /** Weights of a Llama or Qwen2 config, made from a seed: any size, nothing held. */
  readonly synthetic?: {
    readonly config: Readonly<Record<string, unknown>>;
    readonly dtype: SeedDtype;
    readonly seed: number;
  };
  /** Puts the weights into so many shards. */
  readonly shards?: number;
  /** Added, or in place of what `directory` has; null takes a file away. */
  readonly files?: Readonly<Record<string, string | Uint8Array | VirtualFile | null>>;
  /** Of a dataset: what the Hub keeps at refs/convert/parquet. */
  readonly converted?: Readonly<Record<string, string | Uint8Array | VirtualFile>>;
  /** Files can be read with these tokens only; the list of files is public. */
  readonly gated?: readonly string[];
  /** Nothing can be seen without one of these tokens. */
  readonly private?: readonly string[];
  /** An old name that redirects here. */
  readonly formerId?: string;
  readonly downloads?: number;
  readonly likes?: number;
  readonly tags?: readonly string[];
  readonly pipelineTag?: string;
}

export interface RepositoryFile {
  readonly path: string;
  readonly content: VirtualFile;
  /** In large-file storage, that is, on the other origin. */
  readonly large: boolean;
  /** The content's SHA-256 if large, else its git blob id. */
  readonly oid: string;
}

export interface Commit {
  readonly sha: string;
  readonly files: ReadonlyMap<string, RepositoryFile>;
}

/** refs/convert/parquet, as one part of a path. */
export const CONVERTED = 'refs-convert-parquet';

/** Larger files are in large-file storage whatever their name. Bytes. */
const LARGE = 10 * 2 ** 20;

export class Repository {
  readonly options: RepositoryOptions;
  readonly #commits: Commit[] = [];
  #converted: Commit | undefined;

  private constructor(options: RepositoryOptions) {
    this.options = options;
  }

  static async create(options: RepositoryOptions): Promise<Repository> {
    const repository = new Repository(options);
    if (options.converted) {
      const contents = new Map<string, VirtualFile>();
      replace(contents, options.converted);
      repository.#converted = await repository.#commit(contents);
    }
    await repository.#commit(initialFiles(options));
    return repository;
  }

  get id(): string {
    return this.options.id;
  }

  get head(): Commit {
    return this.#commits.at(-1) as Commit;
  }

  /** All files of all commits: the storage keeps what old commits hold. */
  get allFiles(): RepositoryFile[] {
    return this.#commits.flatMap(({ files }) => [...files.values()]);
  }

  find(revision: string): Commit | undefined {
    if (revision === 'main' || revision === 'HEAD') return this.head;
    if (revision === CONVERTED) return this.#converted;
    return this.#commits.find(({ sha }) => sha === revision);
  }

  /** A new commit on main; null takes a file away. */
  async push(files: NonNullable<RepositoryOptions['files']>): Promise<Commit> {
    const contents = new Map([...this.head.files].map(([name, { content }]) => [name, content]));
    replace(contents, files);
    return this.#commit(contents);
  }

  async #commit(contents: ReadonlyMap<string, VirtualFile>): Promise<Commit> {
    const files = new Map<string, RepositoryFile>();
    const sha = createHash('sha1').update(`${this.id} ${this.#commits.length}`);
    for (const [name, content] of [...contents].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const large = /\.(safetensors|bin|gguf|onnx|parquet)$/.test(name) || content.size > LARGE;
      const oid = large ? await content.sha256 : await gitBlobId(content);
      files.set(name, { path: name, content, large, oid });
      sha.update(`\n${name} ${oid}`);
    }
    const commit = { sha: sha.digest('hex'), files };
    this.#commits.push(commit);
    return commit;
  }
}

function initialFiles({ directory, synthetic, shards, files }: RepositoryOptions): Map<string, VirtualFile> {
  const contents = new Map<string, VirtualFile>();
  const weights: string[] = [];
  for (const name of directory === undefined ? [] : readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const full = path.join(directory as string, name);
    if (!statSync(full).isFile()) continue;
    if (shards !== undefined && /\.safetensors(\.index\.json)?$/.test(name)) {
      if (name.endsWith('.safetensors')) weights.push(full);
    } else contents.set(name.split(path.sep).join('/'), diskFile(full, statSync(full).size));
  }
  if (weights.length > 0) addAll(contents, shardFiles(tensorsOnDisk(weights.sort()), shards ?? 1));
  if (synthetic) {
    const config = JSON.stringify(synthetic.config);
    contents.set('config.json', textFile(config));
    const tensors = tensorsFromSeed(
      expectedTensors(parseModelConfig(JSON.parse(config))),
      synthetic.dtype,
      synthetic.seed,
    );
    // As transformers writes them: by name, so that the order in the file is not the order of use.
    tensors.sort((a, b) => (a.name < b.name ? -1 : 1));
    addAll(contents, shardFiles(tensors, shards ?? 1));
  }
  replace(contents, files ?? {});
  return contents;
}

function addAll(contents: Map<string, VirtualFile>, more: ReadonlyMap<string, VirtualFile>): void {
  for (const [name, content] of more) contents.set(name, content);
}

function replace(contents: Map<string, VirtualFile>, files: NonNullable<RepositoryOptions['files']>): void {
  for (const [name, content] of Object.entries(files)) {
    if (content === null) contents.delete(name);
    else if (typeof content === 'string') contents.set(name, textFile(content));
    else contents.set(name, content instanceof VirtualFile ? content : new VirtualFile([{ bytes: content }]));
  }
}

async function gitBlobId(content: VirtualFile): Promise<string> {
  const hash = createHash('sha1').update(`blob ${content.size}\0`);
  for await (const chunk of content.read(0, content.size)) hash.update(chunk);
  return hash.digest('hex');
}
