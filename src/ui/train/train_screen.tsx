import { memo, useDeferredValue } from 'react';
import { useData } from '../../state/data_store.ts';
import { useModel } from '../../state/model_store.ts';
import { closeRun, isActive, useRun } from '../../state/run_store.ts';
import { nameOf } from '../data/data_files.tsx';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { LinkButton } from '../primitives/link_button.tsx';
import { Screen } from '../primitives/screen.tsx';
import { RunView } from './run_view.tsx';
import { SettingsView } from './settings_view.tsx';

/**
 * Settings, then the run. The click on the start button only says so there: the run is rendered in the slices that React
 * gives to what is deferred, because the GPU begins to compile at the same moment. The way back is taken at once.
 */
export function TrainScreen() {
  const idle = useRun((state) => state.status === 'none');
  const wasIdle = useDeferredValue(idle);
  return idle || wasIdle ? <SettingsScreen /> : <RunScreen />;
}

const SettingsScreen = memo(function SettingsScreen() {
  return (
    <Screen
      title="Train"
      lead="Every setting has the name it has in TRL and PEFT. The defaults are a sound first try; change what you know."
    >
      <SettingsView />
    </Screen>
  );
});

const RunScreen = memo(function RunScreen() {
  const status = useRun((state) => state.status);
  const name = useRun((state) => state.request?.name ?? '');
  const model = useModel((state) => state.loaded?.info.name ?? null);
  const file = useData((state) => state.location && nameOf(state.location));
  const over = !isActive(status);
  return (
    <Screen
      title={over ? `Run ${name}` : `Training ${name}`}
      lead={[model, file].filter(Boolean).join(', ')}
      actions={
        over && (
          <>
            <Button kind={status === 'failed' ? 'primary' : 'plain'} onClick={closeRun}>
              {status === 'failed' ? 'Back to the settings' : 'New run'}
            </Button>
            {status === 'finished' && (
              <>
                <LinkButton href="#try">Try it</LinkButton>
                <LinkButton primary href="#export">
                  Take the adapter <Icon name="chevron" />
                </LinkButton>
              </>
            )}
          </>
        )
      }
    >
      <RunView />
    </Screen>
  );
});
