import type { Retry } from '../../state/model_store.ts';
import { Notice } from '../primitives/notice.tsx';
import { useNow } from '../primitives/use_now.ts';

export function RetryNotice({ retry }: { readonly retry: Retry }) {
  const seconds = Math.ceil((retry.at - useNow(500)) / 1000);
  return (
    <Notice kind="warn" title={`Trying again (${retry.attempt})`}>
      {retry.reason} What is here already is kept.
      {/* The seconds would be read out one by one. */}
      <span aria-hidden="true">{seconds > 0 ? ` Next try in ${seconds} s.` : ' Trying now …'}</span>
    </Notice>
  );
}
