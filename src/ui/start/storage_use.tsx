import { useStorage } from '../../state/storage_store.ts';
import { bytes } from '../format.ts';
import { Notice } from '../primitives/notice.tsx';

/** What the browser keeps for the studio, how much more it would, and whether it promises to. */
export function StorageUse() {
  const facts = useStorage((state) => state.facts);
  if (!facts) return null;
  if (facts.volatile !== null) {
    return (
      <Notice kind="warn" title="Nothing is kept here">
        {facts.volatile}
      </Notice>
    );
  }
  const { usedBytes, quotaBytes, persisted } = facts;
  return (
    <p>
      {usedBytes !== null && `Storage: ${bytes(usedBytes)} used`}
      {usedBytes !== null && quotaBytes !== null && `, ${bytes(Math.max(0, quotaBytes - usedBytes))} left`}
      {'. '}
      {persisted
        ? 'It is kept until you delete it.'
        : 'The browser may clear it when the disk fills; it keeps what pages that are used often have.'}
    </p>
  );
}
