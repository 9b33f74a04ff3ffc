import { useModel } from '../../state/model_store.ts';
import { EmptyState } from '../primitives/empty_state.tsx';
import { Icon } from '../primitives/icon.tsx';
import { LinkButton } from '../primitives/link_button.tsx';
import { Screen } from '../primitives/screen.tsx';
import { SideLayout } from '../primitives/side_layout.tsx';
import { Conversation } from './conversation.tsx';
import { EvaluationPanel } from './evaluation_panel.tsx';
import { SeenPrompt } from './seen_prompt.tsx';
import { TrySettings } from './try_settings.tsx';
import { useTryAdapter } from './use_try_adapter.ts';

/** Base and tuned model side by side, in a conversation and on questions with known answers. */
export function TryScreen() {
  const loaded = useModel((state) => state.loaded);
  const adapter = useTryAdapter();
  return (
    <Screen
      title="Try it"
      lead={
        adapter === 'none'
          ? 'Talk to the model as it is. Once there is an adapter, both answer side by side.'
          : 'One question, two answers: the model as it was, and with the adapter. Same settings, same seed.'
      }
      actions={
        adapter === 'trained' && (
          <LinkButton href="#export">
            Take the adapter <Icon name="chevron" />
          </LinkButton>
        )
      }
    >
      {loaded ? (
        <SideLayout side={<TrySettings adapter={adapter} />}>
          <Conversation adapter={adapter} />
          <SeenPrompt />
          <EvaluationPanel adapter={adapter} />
        </SideLayout>
      ) : (
        <EmptyState title="First a model" actions={<LinkButton href="#model">Choose a model</LinkButton>}>
          What was trained is tried over the model that it was trained for.
        </EmptyState>
      )}
    </Screen>
  );
}
