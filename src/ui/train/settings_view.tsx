import { useEffect } from 'react';
import { useAdapter } from '../../state/adapter_store.ts';
import { isPaged } from '../../state/check_settings.ts';
import { useSettings } from '../../state/settings_store.ts';
import { Panel } from '../primitives/panel.tsx';
import { ChoiceSetting } from '../settings/choice_setting.tsx';
import { FlagSetting } from '../settings/flag_setting.tsx';
import { NumberSetting } from '../settings/number_setting.tsx';
import { PatternSetting } from '../settings/pattern_setting.tsx';
import { useChecked } from '../settings/use_checked.ts';
import { AdapterStart } from './adapter_start.tsx';
import { loadCharts } from './load_charts.ts';
import { SamplePrompts } from './sample_prompts.tsx';
import styles from './settings_view.module.css';
import { StartPanel } from './start_panel.tsx';
import { TargetModules } from './target_modules.tsx';

export function SettingsView() {
  const { errors } = useChecked();
  const start = useAdapter((state) => state.start);
  const paged = useSettings((state) => isPaged(state.optim));
  useEffect(() => void loadCharts(), []);
  return (
    <div className={styles.layout}>
      <div className={styles.start}>
        <StartPanel />
      </div>
      <div className={styles.groups}>
        <Panel title="Schedule" lead="How long, and how the learning rate goes.">
          <div className={styles.fields}>
            <NumberSetting field="max_steps" errors={errors} />
            <NumberSetting field="learning_rate" errors={errors} />
            <ChoiceSetting field="lr_scheduler_type" />
            <NumberSetting field="warmup_steps" errors={errors} />
            <NumberSetting field="eval_steps" errors={errors} />
            <NumberSetting field="early_stopping_patience" errors={errors} />
            <NumberSetting field="seed" errors={errors} />
          </div>
          <FlagSetting field="load_best_model_at_end" />
        </Panel>
        <Panel title="LoRA" lead="The small matrices that learn while the base model stays as it is.">
          <AdapterStart />
          <div className={styles.fields}>
            <NumberSetting field="r" errors={errors} fixed={start ? String(start.lora.r) : undefined} />
            <NumberSetting
              field="lora_alpha"
              errors={errors}
              fixed={start ? String(start.lora.lora_alpha) : undefined}
            />
            <NumberSetting field="lora_dropout" errors={errors} />
          </div>
          <TargetModules error={errors.target_modules} />
          <div className={styles.fields}>
            <PatternSetting field="rank_pattern" errors={errors} fixed={start?.lora.rank_pattern} />
            <PatternSetting field="alpha_pattern" errors={errors} fixed={start?.lora.alpha_pattern} />
          </div>
          <FlagSetting field="use_rslora" />
          <FlagSetting field="use_dora" />
        </Panel>
        <Panel title="Batch" lead="What goes through the model for one update.">
          <div className={styles.fields}>
            <NumberSetting field="per_device_train_batch_size" errors={errors} />
            <NumberSetting field="gradient_accumulation_steps" errors={errors} />
            <NumberSetting field="max_length" errors={errors} />
            <ChoiceSetting field="train_sampling_strategy" />
          </div>
          <FlagSetting field="gradient_checkpointing" />
        </Panel>
        <Panel
          title="Samples"
          lead="Prompts that the model answers now and then while it learns; training waits for it."
        >
          <SamplePrompts error={errors.sample_prompts} />
          <div className={styles.fields}>
            <NumberSetting field="sample_steps" errors={errors} />
            <NumberSetting field="sample_tokens" errors={errors} />
          </div>
        </Panel>
        <Panel title="Optimizer" lead="AdamW: how far each update goes, and where its moments lie.">
          <div className={styles.fields}>
            <ChoiceSetting field="optim" />
            <NumberSetting field="weight_decay" errors={errors} />
            <NumberSetting field="loraplus_lr_ratio" errors={errors} />
            <NumberSetting field="max_grad_norm" errors={errors} />
            <NumberSetting field="adam_beta1" errors={errors} />
            <NumberSetting field="adam_beta2" errors={errors} />
            <NumberSetting field="adam_epsilon" errors={errors} />
          </div>
        </Panel>
        <Panel
          title="Memory"
          lead="What waits outside the GPU where it has too little room. None of it changes a number."
        >
          <div className={styles.fields}>
            <NumberSetting field="weight_memory_budget" errors={errors} />
            {paged && (
              <>
                <NumberSetting field="optimizer_memory_budget" errors={errors} />
                <NumberSetting field="optimizer_host_memory_budget" errors={errors} />
                <NumberSetting field="optimizer_page_size" errors={errors} />
              </>
            )}
          </div>
          {!paged && <p className={styles.note}>With a paged optim there are budgets for its moments too.</p>}
        </Panel>
      </div>
    </div>
  );
}
