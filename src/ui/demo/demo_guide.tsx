import { type DemoStage, leaveDemo, startDemo, useDemo } from '../../state/demo_store.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Notice } from '../primitives/notice.tsx';
import styles from './demo_guide.module.css';

interface Step {
  readonly name: string;
  readonly href: string;
  /** Of the stage at which it is under way. */
  readonly stage: DemoStage;
  readonly line: string;
}

const STEPS: readonly Step[] = [
  {
    name: 'Model',
    href: '#model',
    stage: 'model',
    line: 'A storybook model of ours, 3.8 million parameters. Its layers are put into 4 bits on your GPU and stay as they are.',
  },
  {
    name: 'Data',
    href: '#data',
    stage: 'data',
    line: '96 conversations with Bramble, a hedgehog who keeps a tea-house. Only her answers are learned, not the questions.',
  },
  {
    name: 'Train',
    href: '#train',
    stage: 'train',
    line: 'Small matrices beside the frozen layers, the adapter, learn her way of speaking: the loss is how surprised they still are.',
  },
  {
    name: 'Try',
    href: '#try',
    stage: 'done',
    line: 'The same question to the model as it was and as it is now, side by side. Ask your own.',
  },
  {
    name: 'Export',
    href: '#export',
    stage: 'done',
    line: 'The adapter is yours: a zip of half a megabyte that any tool which knows LoRA can load.',
  },
];
const ORDER: readonly DemoStage[] = ['model', 'data', 'train', 'done'];

/** On every screen while the demo is on: where it is, and in a line what happens there. */
export function DemoGuide() {
  const { stage, failure } = useDemo();
  const training = useRun((state) => isActive(state.status));
  if (stage === 'off') return null;
  const at = ORDER.indexOf(failure?.stage ?? stage);
  return (
    <section className={styles.guide} aria-label="The demo">
      <ol className={styles.steps}>
        {STEPS.map(({ name, href, line }, i) => {
          const done = i < at;
          const open = i <= at || stage === 'done';
          return (
            <li key={name} className={styles.step} data-state={done ? 'done' : open ? 'now' : 'later'}>
              <span className={styles.mark} aria-hidden="true">
                {done ? <Icon name="check" size={12} /> : i + 1}
              </span>
              <p className={styles.text}>
                {open ? <a href={href}>{name}</a> : <span>{name}</span>}
                {done && <span className="unseen">, done</span>}
                <span className={styles.line}>{line}</span>
              </p>
            </li>
          );
        })}
      </ol>
      <p className="unseen" role="status">
        {failure ? '' : STEPS[at]?.line}
      </p>
      {failure && (
        <Notice
          kind="bad"
          title="The demo stopped"
          actions={
            <Button small onClick={() => void startDemo()}>
              Try again
            </Button>
          }
        >
          {failure.message}
        </Notice>
      )}
      <Button small kind="quiet" className={styles.leave} disabled={training} onClick={leaveDemo}>
        {stage === 'done' ? 'Close the guide' : 'Leave the demo'}
      </Button>
    </section>
  );
}
