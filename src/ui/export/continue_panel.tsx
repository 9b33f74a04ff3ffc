import { continueFrom } from '../../state/adapter_store.ts';
import { useModel } from '../../state/model_store.ts';
import { goTo } from '../../state/navigation.ts';
import { closeRun, isActive, type TrainedAdapter, useRun } from '../../state/run_store.ts';
import { Button } from '../primitives/button.tsx';
import { Panel } from '../primitives/panel.tsx';

export function ContinuePanel({ trained }: { readonly trained: TrainedAdapter }) {
  const active = useRun((state) => isActive(state.status));
  const model = useModel((state) => state.loaded?.info.name ?? null);
  const fits = model === trained.model.name;
  return (
    <Panel
      title="Go on from here"
      lead={
        fits
          ? 'A new run that starts with what this adapter has learned: more steps, other data, another learning rate.'
          : `It fits ${trained.model.name}: load that model again first.`
      }
    >
      <Button
        disabled={active || !fits}
        onClick={() => {
          continueFrom(trained.name, trained.files);
          // Its scale is part of what it has learned.
          closeRun();
          goTo('train');
        }}
      >
        Continue from this adapter
      </Button>
    </Panel>
  );
}
