/** A file → the reader of its format, told by its name and its first bytes. */
import type { RangeSource } from '../../formats/range_source.ts';
import type { CreateScratch } from '../../formats/scratch.ts';
import { refuseForeign } from './foreign.ts';
import { isGzip, unpackGzip } from './gzip.ts';
import { jsonlFormat } from './jsonl.ts';
import { DataFileError } from './problem.ts';
import { READ_LIMITS, type ReadLimits, StretchTable, type Table } from './table.ts';
import { TEXT_SPLIT, type TextSplit, textFormat } from './text.ts';
import { rewriteUtf16, utf16Encoding } from './utf16.ts';

/** Endings of names that are read; each may be followed by `.gz`. */
export const DATA_EXTENSIONS = ['jsonl', 'ndjson', 'json', 'csv', 'tsv', 'parquet', 'txt', 'md'] as const;

export interface OpenTablePorts {
  readonly createScratch: CreateScratch;
  readonly signal?: AbortSignal | undefined;
  readonly split?: TextSplit;
  readonly limits?: ReadLimits;
  /** While a compressed file is unpacked. */
  readonly onProgress?: (bytesRead: number) => void;
}

/** @throws DataFileError when the file is of no format that is read, or cannot be unpacked */
export async function openTable(source: RangeSource, ports: OpenTablePorts): Promise<Table> {
  const { createScratch, signal, onProgress, limits = READ_LIMITS, split = TEXT_SPLIT } = ports;
  const unpacked = (await isGzip(source)) ? await unpackGzip(source, createScratch, { signal, onProgress }) : source;
  await refuseForeign(unpacked);
  const encoding = await utf16Encoding(unpacked);
  const file = encoding
    ? await rewriteUtf16(unpacked, encoding, createScratch, {
        signal,
        onProgress: unpacked === source ? onProgress : undefined,
      })
    : unpacked;
  const extension = /\.([a-z]+)(?:\.gz)?$/i.exec(source.name)?.[1].toLowerCase();
  switch (extension) {
    case 'jsonl':
    case 'ndjson':
    case 'json':
      return openJson(file, limits, extension === 'json');
    case 'csv':
    case 'tsv': {
      const { csvFormat } = await import('./csv.ts');
      return new StretchTable(file, extension, csvFormat(extension === 'tsv' ? '\t' : undefined, limits));
    }
    case 'parquet': {
      const { ParquetTable } = await import('./parquet_table.ts');
      return new ParquetTable(file);
    }
    case 'txt':
    case 'text':
    case 'md':
    case 'markdown': {
      const markdown = extension.startsWith('m');
      return new StretchTable(file, markdown ? 'markdown' : 'text', textFormat(split, markdown, limits));
    }
    default:
      throw new DataFileError({
        file: source.name,
        line: 1,
        field: '',
        kind: 'unsupported',
        reason: `Files of this kind are not read. Give ${DATA_EXTENSIONS.map((one) => `.${one}`).join(', ')}, also as .gz.`,
      });
  }
}

/** Names lie: what is called .json is often JSON Lines, and the other way round. The first characters tell. */
async function openJson(source: RangeSource, limits: ReadLimits, expectJson: boolean): Promise<Table> {
  const head = new TextDecoder().decode(await source.read(0, Math.min(source.size, 2 ** 20)));
  const [first = '', ...others] = head
    .replace(/^\ufeff/, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const complete = isJson(first);
  const lines = expectJson
    ? first.trimStart().startsWith('{') && complete && others.length > 0
    : !first.trimStart().startsWith('[') || (complete && others.length > 0);
  if (lines) {
    return new StretchTable(source, 'jsonl', jsonlFormat(limits));
  }
  const { JsonTable } = await import('./json_table.ts');
  return new JsonTable(source, limits);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
