/** A dataset of the Hub, downloaded once into scratch files: rows are then read by range, and again, without the network. */
import type { RangeSource } from '../formats/range_source.ts';
import { openHubDataset } from '../hub/dataset_files.ts';
import { createOpfsScratch } from './opfs_scratch.ts';
import type { ModelPorts } from './studio_model.ts';
import type { DataLocation } from './studio_protocol.ts';

const CHUNK_BYTES = 4 * 2 ** 20;
const REPORT_MS = 100;

/** Emits `data-progress` and `retrying`. Rejects with the named errors of `hub`. */
export async function downloadDataset(
  { id, config, split }: DataLocation & { kind: 'hub' },
  { runId, emit, hubUrl, token, gate, signal }: ModelPorts,
): Promise<RangeSource[]> {
  const onRetry = (notice: { attempt: number; seconds: number; reason: string }) =>
    emit({ type: 'retrying', runId, ...notice });
  const { folder, paths } = await openHubDataset({ id, hubUrl, token, gate, signal, onRetry }, config, split);
  try {
    const files = await Promise.all(paths.map((path) => folder.open(path)));
    const total = files.reduce((sum, { size }) => sum + size, 0);
    const local: RangeSource[] = [];
    let done = 0;
    let reported = Number.NEGATIVE_INFINITY;
    for (const file of files) {
      const scratch = await createOpfsScratch();
      try {
        for (let begin = 0; begin < file.size; begin += CHUNK_BYTES) {
          const end = Math.min(begin + CHUNK_BYTES, file.size);
          await scratch.write(await file.read(begin, end));
          done += end - begin;
          if (performance.now() - reported < REPORT_MS) continue;
          reported = performance.now();
          emit({ type: 'data-progress', runId, stage: 'reading', done, total, rows: 0 });
        }
        local.push(await scratch.finish(file.name));
      } catch (error) {
        await scratch.discard();
        throw error;
      }
    }
    return local;
  } finally {
    folder.close();
  }
}
