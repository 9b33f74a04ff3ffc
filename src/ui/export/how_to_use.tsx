import type { TrainedAdapter } from '../../state/run_store.ts';
import { Panel } from '../primitives/panel.tsx';
import { ScrollRegion } from '../primitives/scroll_region.tsx';
import styles from './how_to_use.module.css';
import { fileName } from './save_adapter.ts';

export function HowToUse({ trained }: { readonly trained: TrainedAdapter }) {
  const code = [
    'from peft import PeftModel',
    'from transformers import AutoModelForCausalLM',
    '',
    `name = "${trained.model.name}"`,
    'base = AutoModelForCausalLM.from_pretrained(name)',
    `model = PeftModel.from_pretrained(base, "${fileName(trained.name)}")`,
  ].join('\n');
  return (
    <Panel title="With PEFT" lead="Unzip it, and name the folder.">
      <ScrollRegion className={styles.code} label="Python to load the adapter">
        <pre>
          <code>{code}</code>
        </pre>
      </ScrollRegion>
    </Panel>
  );
}
