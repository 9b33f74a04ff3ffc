import { useTrained } from '../../state/run_store.ts';
import { EmptyState } from '../primitives/empty_state.tsx';
import { LinkButton } from '../primitives/link_button.tsx';
import { Screen } from '../primitives/screen.tsx';
import { ContinuePanel } from './continue_panel.tsx';
import styles from './export_screen.module.css';
import { HowToUse } from './how_to_use.tsx';
import { TrainedPanel } from './trained_panel.tsx';

export function ExportScreen() {
  const trained = useTrained((state) => state.trained);
  return (
    <Screen
      title="Take it home"
      lead="The adapter as PEFT’s own folder: what it learned, without the base model, ready for any tool that knows LoRA."
    >
      {trained ? (
        <div className={styles.layout}>
          <TrainedPanel trained={trained} />
          <div className={styles.side}>
            <ContinuePanel trained={trained} />
            <HowToUse trained={trained} />
          </div>
        </div>
      ) : (
        <EmptyState title="Nothing trained yet" actions={<LinkButton href="#train">Go to training</LinkButton>}>
          When a run ends, or is stopped and kept, its adapter is here. To go on from one you have, drop its zip on this
          page.
        </EmptyState>
      )}
    </Screen>
  );
}
