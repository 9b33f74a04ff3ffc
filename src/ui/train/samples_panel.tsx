import { useRun } from '../../state/run_store.ts';
import { count } from '../format.ts';
import { Panel } from '../primitives/panel.tsx';
import { ScrollRegion } from '../primitives/scroll_region.tsx';
import styles from './samples_panel.module.css';

/** What the model answered to the sample prompts, from before the first step to now: a prompt a row, a step a column. */
export function SamplesPanel() {
  const samples = useRun((state) => state.samples);
  const prompts = useRun((state) => state.request?.samples?.prompts);
  if (!prompts) return null;
  return (
    <Panel title="Samples" lead="The same prompts, answered as it learns; always the likeliest words.">
      <ScrollRegion className={styles.scroll} label="Samples by step">
        <table className={styles.table}>
          <thead>
            <tr>
              <th scope="col">prompt</th>
              {samples.map(({ step }) => (
                <th key={step} scope="col">
                  {step === 0 ? 'before' : `step ${count(step)}`}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {prompts.map((prompt, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a run's prompts stay as they are, and may be alike.
              <tr key={i}>
                <th scope="row">{prompt}</th>
                {samples.map(({ step, texts }) => (
                  <td key={step}>{texts[i]}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollRegion>
      {samples.length === 0 && <p className={styles.none}>The first ones come before the first step.</p>}
    </Panel>
  );
}
