import { startDemo, useDemo } from '../../state/demo_store.ts';
import { useModel } from '../../state/model_store.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import styles from './start_demo.module.css';

/** The one big button of a first visit; gone once there is a model. */
export function StartDemo() {
  const stage = useDemo((state) => state.stage);
  const busy = useModel(({ loading, loaded }) => loading !== null || loaded !== null);
  const training = useRun((state) => isActive(state.status));
  if (stage !== 'off' || busy || training) return null;
  return (
    <section className={styles.start} aria-labelledby="start-demo">
      <div className={styles.text}>
        <h2 id="start-demo">See it work first</h2>
        <p>
          A small storybook model that comes with this page learns to answer like a hedgehog who keeps a tea-house. 8
          MB, no account, no choice to make; a minute or two.
        </p>
      </div>
      <Button kind="primary" className={styles.button} onClick={() => void startDemo()}>
        <Icon name="play" size={20} /> Try the demo
      </Button>
    </section>
  );
}
