import { useStorage } from '../../state/storage_store.ts';
import { bytes } from '../format.ts';
import { Notice } from '../primitives/notice.tsx';

/** Models that had to make room, and whom it concerns. */
export function EvictedModels() {
  const evicted = useStorage((state) => state.evicted);
  return evicted.map(({ name, bytes: size, runs }, i) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: a list that only grows
    <Notice key={i} kind="info" title="Room was made on the disk">
      {name} ({bytes(size)}) was deleted from the cache: of all models there it had gone unused the longest.
      {runs.length > 0 && ` ${runs.join(', ')} will download it again when resumed.`}
    </Notice>
  ));
}
