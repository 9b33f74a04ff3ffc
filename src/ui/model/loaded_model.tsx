import { useData } from '../../state/data_store.ts';
import type { LoadedModel as Loaded } from '../../state/model_store.ts';
import { parameters } from '../format.ts';
import { Icon } from '../primitives/icon.tsx';
import { LinkButton } from '../primitives/link_button.tsx';
import { MemoryBar } from '../primitives/memory_bar.tsx';
import { Panel } from '../primitives/panel.tsx';

export function LoadedModel({ loaded }: { readonly loaded: Loaded }) {
  const { info, memory } = loaded;
  const hasData = useData((state) => state.location !== null);
  const where = info.commit ? `commit ${info.commit.slice(0, 8)}` : 'from a folder';
  return (
    <Panel title={info.name} lead={`Loaded in 4 bits: ${parameters(info.parameters)} parameters, ${where}.`}>
      <MemoryBar memory={memory} />
      <LinkButton primary href={hasData ? '#train' : '#data'}>
        {hasData ? 'Go on to training' : 'Go on to the data'} <Icon name="chevron" />
      </LinkButton>
    </Panel>
  );
}
