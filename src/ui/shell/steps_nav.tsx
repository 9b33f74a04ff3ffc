import { STEPS, type Step, useNavigation } from '../../state/navigation.ts';
import { type StepState, useStepStates } from './step_states.ts';
import styles from './steps_nav.module.css';

const NAMES: Readonly<Record<Step, string>> = {
  model: 'Model',
  data: 'Data',
  train: 'Train',
  try: 'Try',
  export: 'Export',
};
const SPOKEN: Readonly<Record<StepState['bit'], string>> = {
  none: '',
  busy: ', working',
  done: ', done',
  bad: ', failed',
};

/** The steps, each with its bit (set when done) and what is there. */
export function StepsNav() {
  const screen = useNavigation((state) => state.screen);
  const states = useStepStates();
  return (
    <nav aria-label="Steps">
      <ol className={styles.steps}>
        {STEPS.map((step) => (
          <li key={step}>
            <a href={`#${step}`} aria-current={screen === step ? 'step' : undefined} className={styles.step}>
              <span className={styles.bit} data-bit={states[step].bit} aria-hidden="true" />
              <span className={styles.name}>
                {NAMES[step]}
                <span className="unseen">{SPOKEN[states[step].bit]}</span>
              </span>
              <span className={styles.note}>{states[step].note}</span>
            </a>
          </li>
        ))}
      </ol>
    </nav>
  );
}
