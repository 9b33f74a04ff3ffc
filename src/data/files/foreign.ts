/** Files that are something else than their name says, told by their first bytes: what to do with each. */
import type { RangeSource } from '../../formats/range_source.ts';
import { DataFileError } from './problem.ts';

const LOOKED_AT = 256;

const SIGNATURES: readonly (readonly [string, string])[] = [
  ['PK\x03\x04', 'The file is a zip archive. Unpack it, and give the files in it.'],
  ['\x28\xb5\x2f\xfd', 'The file is packed by Zstandard. Unpack it first, or pack it by gzip.'],
  ['\xfd7zXZ\0', 'The file is packed by xz. Unpack it first, or pack it by gzip.'],
  ['BZh9', 'The file is packed by bzip2. Unpack it first, or pack it by gzip.'],
  ['7z\xbc\xaf\x27\x1c', 'The file is a 7z archive. Unpack it, and give the files in it.'],
  ['%PDF-', 'The file is a PDF. Save its text as .txt or .md, and give that.'],
  [
    'version https://git-lfs',
    'The file is a pointer of Git LFS, not the data. Run git lfs pull, or download it from its page.',
  ],
  ['ARROW1', 'The file is an Arrow file. Save the table as Parquet, and give that.'],
];
const SPREADSHEET = /\[Content_Types\]\.xml|xl\//;
const WEB_PAGE = /^\s*(<!doctype html|<html[\s>])/i;

/** @throws DataFileError */
export async function refuseForeign(source: RangeSource): Promise<void> {
  const head = String.fromCharCode(...(await source.read(0, Math.min(source.size, LOOKED_AT))));
  const reason = SIGNATURES.find(([begin]) => head.startsWith(begin))?.[1];
  if (reason !== undefined && SPREADSHEET.test(head)) {
    throw refused(source, 'The file is a spreadsheet. Save its sheet as CSV, and give that.');
  }
  if (reason !== undefined) throw refused(source, reason);
  // As plain text a page is what somebody may mean.
  if (WEB_PAGE.test(head) && !/\.(txt|text|md|markdown)(\.gz)?$/i.test(source.name)) {
    throw refused(source, 'The file is a web page: the download may have needed a sign-in. Download the data itself.');
  }
}

const refused = (source: RangeSource, reason: string) =>
  new DataFileError({ file: source.name, line: 1, field: '', kind: 'unsupported', reason });
