import { downloadZip } from 'client-zip';
import type { TrainedAdapter } from '../../state/run_store.ts';
import { saveFile } from './save_file.ts';

/** The adapter's folder as PEFT reads it, zipped while it is written. */
export function saveAdapter({ name, files }: TrainedAdapter): Promise<boolean> {
  const entries = files.map(({ path, bytes }) => ({ name: path, input: bytes, lastModified: new Date() }));
  return saveFile(`${fileName(name)}.zip`, 'application/zip', downloadZip(entries));
}

/** What every file system takes. */
export function fileName(name: string): string {
  return name.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[.-]+|[.-]+$/g, '') || 'adapter';
}
