import { megabytesText } from '../../state/check_settings.ts';
import { setNumber, setSettings } from '../../state/settings_store.ts';
import type { MemoryRemedy as Remedy } from '../../worker/studio_protocol.ts';
import { bytes } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Notice } from '../primitives/notice.tsx';

/** A run that may be too large for this GPU, and the settings with which it would fit. */
export function MemoryRemedy({ remedy: { neededBytes, roomBytes, settings } }: { readonly remedy: Remedy }) {
  const offer = settings && OFFERS[(settings.optim ? 'paged' : '') + (settings.weight_memory_budget ? 'streamed' : '')];
  return (
    <Notice
      kind="warn"
      title="This may be more than the GPU has"
      actions={
        settings &&
        offer && (
          <Button small onClick={() => take(settings)}>
            {offer.button}
          </Button>
        )
      }
    >
      {bytes(neededBytes)} are needed; a page may count on {bytes(roomBytes)} here.{' '}
      {offer?.text ?? 'Lower max_length, per_device_train_batch_size or r, or pick a smaller model.'}
    </Notice>
  );
}

const OFFERS: Readonly<Record<string, { readonly button: string; readonly text: string }>> = {
  paged: {
    button: 'Page the optimizer',
    text: 'The optimizer’s moments can wait in host memory and come to the GPU in turn: the same numbers, somewhat slower.',
  },
  streamed: {
    button: 'Stream the layers',
    text: 'The frozen layers can wait in host memory and pass through the GPU: the same numbers, somewhat slower.',
  },
  pagedstreamed: {
    button: 'Page the optimizer, stream the layers',
    text: 'Moments and frozen layers can wait in host memory and come to the GPU in turn: the same numbers, slower.',
  },
};

function take({ optim, optimizer_memory_budget, weight_memory_budget }: NonNullable<Remedy['settings']>): void {
  if (optim) {
    setSettings({ optim });
    setNumber('optimizer_memory_budget', megabytesText(optimizer_memory_budget));
  }
  if (weight_memory_budget) setNumber('weight_memory_budget', megabytesText(weight_memory_budget));
}
