/** Files out of a drop or a folder input, with their paths below what was dropped. */

export interface PickedFile {
  readonly path: string;
  readonly file: File;
}

export interface Picked {
  /** Of the folder, where one was dropped. */
  readonly folder: string | null;
  readonly files: readonly PickedFile[];
}

/** Must be called while the drop is handled: the entries are gone afterwards. */
export async function filesOfDrop({ items, files: plain }: DataTransfer): Promise<Picked> {
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  // A drag that did not come from a folder view may have files and no entries.
  if (entries.length === 0) return { folder: null, files: [...plain].map((file) => ({ path: file.name, file })) };
  const only = entries.length === 1 ? entries[0] : undefined;
  if (only?.isDirectory) return { folder: only.name, files: await filesBelow(only, '') };
  const files = await Promise.all(entries.filter(({ isFile }) => isFile).map((entry) => filesBelow(entry, '')));
  return { folder: null, files: files.flat() };
}

/** From `<input type="file" webkitdirectory>`, whose paths begin with the folder's name. */
export function filesOfInput(list: FileList): Picked {
  const files = [...list].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
  const folder = files[0]?.path.includes('/') ? (files[0].path.split('/')[0] ?? null) : null;
  if (folder === null) return { folder, files };
  return { folder, files: files.map(({ path, file }) => ({ path: path.slice(folder.length + 1), file })) };
}

/** `prefix` is the path of the entry's folder, with a slash at its end. */
async function filesBelow(entry: FileSystemEntry, prefix: string): Promise<PickedFile[]> {
  if (isFile(entry)) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
    return [{ path: `${prefix}${entry.name}`, file }];
  }
  if (!isDirectory(entry)) return [];
  // Hidden folders (.git, .cache) hold nothing of the model, and sometimes thousands of files.
  const children = (await childrenOf(entry)).filter(({ name }) => !name.startsWith('.'));
  const found = await Promise.all(
    children.map((child) => filesBelow(child, child.isDirectory ? `${prefix}${child.name}/` : prefix)),
  );
  return found.flat();
}

/** A directory reader gives a hundred entries at a time. */
async function childrenOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  while (true) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

const isFile = (entry: FileSystemEntry): entry is FileSystemFileEntry => entry.isFile;
const isDirectory = (entry: FileSystemEntry): entry is FileSystemDirectoryEntry => entry.isDirectory;
