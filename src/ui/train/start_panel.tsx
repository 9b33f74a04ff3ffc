import { useAdapter } from '../../state/adapter_store.ts';
import { useData } from '../../state/data_store.ts';
import { useModel } from '../../state/model_store.ts';
import { startTraining, useRun } from '../../state/run_store.ts';
import { setSettings, useSettings } from '../../state/settings_store.ts';
import { dataSettings, restoreDefaults } from '../../state/studio.ts';
import { count } from '../format.ts';
import { PredictedMemory } from '../model/predicted_memory.tsx';
import { Button } from '../primitives/button.tsx';
import { Field, fieldId } from '../primitives/field.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Input } from '../primitives/input.tsx';
import { Panel } from '../primitives/panel.tsx';
import { useChecked } from '../settings/use_checked.ts';
import styles from './start_panel.module.css';

/** What would be trained, what is still missing, and the button. */
export function StartPanel() {
  const name = useSettings((state) => state.name);
  const loaded = useModel((state) => state.loaded);
  const { status, summary, settings: readWith } = useData();
  const adapterBusy = useAdapter((state) => state.status === 'reading');
  const idle = useRun((state) => state.status === 'none');
  const { errors, request, data } = useChecked();
  const dataCurrent = status === 'ready' && JSON.stringify(dataSettings()) === JSON.stringify(readWith);
  const wrong = Object.keys(errors);
  const ready = idle && request && loaded && dataCurrent && !adapterBusy && (summary?.trainedTokens ?? 0) > 0;
  return (
    <Panel title="This run">
      <Field name="name" help="For the run and its adapter.">
        {({ id, describedBy }) => (
          <Input
            id={id}
            aria-describedby={describedBy}
            value={name}
            onChange={({ currentTarget }) => setSettings({ name: currentTarget.value })}
          />
        )}
      </Field>
      <ul className={styles.needs}>
        <Need done={loaded !== null} href="#model">
          {loaded ? loaded.info.name : 'Load a model'}
        </Need>
        <Need done={dataCurrent} href="#data">
          {status === 'none'
            ? 'Bring data'
            : dataCurrent && summary
              ? `${count(summary.examples)} examples, ${count(summary.trainedTokens)} trained tokens`
              : !data
                ? 'Correct how the rows are read'
                : status === 'failed'
                  ? 'Mend the data'
                  : status === 'waiting'
                    ? loaded
                      ? 'Say how the rows are read'
                      : 'Data waits for the model'
                    : 'Reading the data …'}
        </Need>
        <Need done={wrong.length === 0} field={wrong[0]}>
          {wrong.length === 0 ? 'Settings are sound' : `Correct ${wrong.join(', ')}`}
        </Need>
      </ul>
      {request && summary && dataCurrent && (
        <p className={styles.plan}>{planText(request.training, summary.stepsPerEpoch)}</p>
      )}
      <PredictedMemory of="loaded" />
      <Button kind="primary" disabled={!ready} onClick={() => request && loaded && startTraining(request, loaded.info)}>
        <Icon name="play" /> Start training
      </Button>
      <Button kind="quiet" small onClick={restoreDefaults}>
        Back to the defaults
      </Button>
    </Panel>
  );
}

interface NeedProps {
  readonly done: boolean;
  /** Where it is mended: a screen, or a field of this one. */
  readonly href?: string;
  readonly field?: string | undefined;
  readonly children: string;
}

function Need({ done, href, field, children }: NeedProps) {
  return (
    <li className={styles.need} data-done={done}>
      <span className={styles.mark}>{done && <Icon name="check" size={12} />}</span>
      <span className="unseen">{done ? 'Ready: ' : 'Missing: '}</span>
      {done ? (
        <span>{children}</span>
      ) : field ? (
        <button type="button" className={styles.jump} onClick={() => document.getElementById(fieldId(field))?.focus()}>
          {children}
        </button>
      ) : (
        <a href={href}>{children}</a>
      )}
    </li>
  );
}

interface Plan {
  readonly max_steps: number;
  readonly per_device_train_batch_size: number;
  readonly gradient_accumulation_steps: number;
}

function planText(plan: Plan, stepsPerEpoch: number): string {
  const sequences = plan.per_device_train_batch_size * plan.gradient_accumulation_steps;
  const epochs = plan.max_steps / Math.max(1, stepsPerEpoch);
  const spoken = epochs < 1 ? `${Math.round(epochs * 100)} % of an epoch` : `${epochs.toFixed(1)} epochs`;
  return `${count(plan.max_steps)} steps of ${count(sequences)} sequences: ${spoken}.`;
}
