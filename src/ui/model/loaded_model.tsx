import { useData } from '../../state/data_store.ts';
import type { LoadedModel as Loaded } from '../../state/model_store.ts';
import { parameters, plural } from '../format.ts';
import { Icon } from '../primitives/icon.tsx';
import { LinkButton } from '../primitives/link_button.tsx';
import { MemoryBar } from '../primitives/memory_bar.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';

export function LoadedModel({ loaded }: { readonly loaded: Loaded }) {
  const { info, memory, layers, notKept } = loaded;
  const hasData = useData((state) => state.location !== null);
  const where = info.commit ? `commit ${info.commit.slice(0, 8)}` : 'from a folder';
  return (
    <Panel title={info.name} lead={`Loaded in 4 bits: ${parameters(info.parameters)} parameters, ${where}.`}>
      <MemoryBar memory={memory} />
      {layers.count < layers.of && (
        <Notice kind="info">
          {plural(layers.count, 'layer')} of {layers.of} at a time on the GPU: the others wait in host memory and stream
          through.
        </Notice>
      )}
      {notKept !== null && (
        <Notice kind="warn" title="Not kept for the next time">
          {notKept} The model works; it is downloaded again when it is next loaded.
        </Notice>
      )}
      <LinkButton primary href={hasData ? '#train' : '#data'}>
        {hasData ? 'Go on to training' : 'Go on to the data'} <Icon name="chevron" />
      </LinkButton>
    </Panel>
  );
}
