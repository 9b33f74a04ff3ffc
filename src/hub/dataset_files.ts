/**
 * A dataset of the Hugging Face Hub by its files: the Parquet files that the Hub makes of most datasets, or those that its
 * owner put there.
 */
import { HubAnswerError, ModelNotFoundError } from './errors.ts';
import { type HubFolder, type HubFolderOptions, openHubFolder } from './model_folder.ts';

/** Where the Hub keeps what it converted: `<configuration>/<split>/0000.parquet`. */
const CONVERTED = 'refs/convert/parquet';

/** There is no such dataset, or none of its files can be read. */
export class DatasetNotFoundError extends Error {
  override name = 'DatasetNotFoundError';
}

export interface HubDataset {
  readonly folder: HubFolder;
  /** Paths of the files of the configuration and split that were asked for. */
  readonly paths: readonly string[];
}

/** Rejects with DatasetNotFoundError, and as {@link openHubFolder} does. */
export async function openHubDataset(
  options: Omit<HubFolderOptions, 'kind' | 'revision'>,
  config: string | null,
  split: string | null,
): Promise<HubDataset> {
  const folder = await open(options, CONVERTED).catch((error: unknown) => {
    if (error instanceof ModelNotFoundError || error instanceof HubAnswerError) return open(options, 'main');
    throw error;
  });
  try {
    const paths = selectFiles(
      folder.files.map(({ path }) => path),
      config,
      split,
    );
    return { folder, paths };
  } catch (error) {
    folder.close();
    if (error instanceof DatasetNotFoundError) throw new DatasetNotFoundError(`${folder.id} ${error.message}`);
    throw error;
  }
}

function open(options: Omit<HubFolderOptions, 'kind' | 'revision'>, revision: string): Promise<HubFolder> {
  return openHubFolder({ ...options, kind: 'dataset', revision }).catch((error: unknown) => {
    if (!(error instanceof ModelNotFoundError) || revision === CONVERTED) throw error;
    throw new DatasetNotFoundError(
      `The Hub has no dataset ${options.id} that can be seen. Check its id; a private one needs a token, given in the Model step.`,
    );
  });
}

/** Kinds of files, the best first: a dataset that has several has the same rows in each. */
const KINDS = [/\.parquet$/, /\.(jsonl|ndjson)(\.gz)?$/, /\.json(\.gz)?$/, /\.csv(\.gz)?$/, /\.tsv(\.gz)?$/];
/** Files beside the data that have a data file's name. */
const NOT_DATA = /(^|\/)(dataset_infos?|package|config|metadata|\.[^/]*)\.json$/i;
const SPLITS = ['train', 'validation', 'valid', 'dev', 'test', 'eval'];

interface Part {
  readonly config: string;
  readonly split: string;
  readonly paths: string[];
}

/**
 * The files of a configuration and split; of the first configuration, and of `train` or the first split, where null.
 *
 * @throws DatasetNotFoundError whose message says what there is
 */
export function selectFiles(all: readonly string[], config: string | null, split: string | null): string[] {
  const usable = all.filter((path) => !NOT_DATA.test(path));
  const files = KINDS.map((kind) => usable.filter((path) => kind.test(path))).find((found) => found.length > 0);
  if (!files) throw new DatasetNotFoundError('has no file of rows that is read (.parquet, .jsonl, .json, .csv, .tsv).');
  const parts: Part[] = [];
  for (const path of [...files].sort()) {
    const place = placeOf(path);
    const part = parts.find((one) => one.config === place.config && one.split === place.split);
    if (part) part.paths.push(path);
    else parts.push({ ...place, paths: [path] });
  }
  const names = (values: readonly string[]) => [...new Set(values)].join(', ');
  const first = parts.find((part) => part.config === 'default') ?? parts[0];
  const wanted = parts.filter((part) => part.config === (config ?? first.config));
  if (wanted.length === 0) {
    throw new DatasetNotFoundError(
      `has no configuration ${config}; it has ${names(parts.map((part) => part.config))}.`,
    );
  }
  const chosen = wanted.find((part) => part.split === (split ?? 'train')) ?? (split === null ? wanted[0] : undefined);
  if (!chosen)
    throw new DatasetNotFoundError(`has no split ${split}; it has ${names(wanted.map((part) => part.split))}.`);
  return chosen.paths;
}

/** `config/split/0000.parquet` as the Hub converts; `data/train-00000-of-00002.parquet` or `train.jsonl` as owners write. */
function placeOf(path: string): { config: string; split: string } {
  const parts = path.split('/');
  const file = parts.pop() ?? '';
  const folder = parts.at(-1)?.replace(/^partial-/, '') ?? '';
  if (SPLITS.includes(folder)) return { config: parts.slice(0, -1).join('/') || 'default', split: folder };
  const named = SPLITS.find((name) => new RegExp(`(^|[^a-z])${name}([^a-z]|$)`, 'i').test(file));
  const config = parts.filter((part) => part !== 'data').join('/') || 'default';
  // Any folder that holds numbered files may be a split: names are free.
  if (!named && /^\d+\.parquet$/.test(file) && parts.length > 1) {
    return { config: parts.slice(0, -1).join('/'), split: folder };
  }
  return { config, split: named ?? 'train' };
}
