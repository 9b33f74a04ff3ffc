import { quantizationOf } from '../../state/check_settings.ts';
import { loadModel, useModel } from '../../state/model_store.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { useSettings } from '../../state/settings_store.ts';
import type { ModelInfo, ModelLocation } from '../../worker/studio_protocol.ts';
import { bytes, count, parameters, plural } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Figures } from '../primitives/figures.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Notice } from '../primitives/notice.tsx';
import { ChoiceSetting } from '../settings/choice_setting.tsx';
import { FlagSetting } from '../settings/flag_setting.tsx';
import { NumberSetting } from '../settings/number_setting.tsx';
import { useChecked } from '../settings/use_checked.ts';
import styles from './inspected_model.module.css';
import { PredictedMemory } from './predicted_memory.tsx';

interface Props {
  readonly location: ModelLocation;
  readonly info: ModelInfo;
}

export function InspectedModel({ location, info }: Props) {
  const training = useRun((state) => isActive(state.status));
  const loaded = useModel((state) => state.loaded);
  const quantization = quantizationOf(useSettings());
  const { errors } = useChecked();
  const hub = location.kind === 'hub';
  return (
    <div className={styles.model}>
      <p className={styles.supported}>
        <Icon name="check" />
        <span>
          The architecture <code>{info.modelType}</code> is supported.
        </span>
      </p>
      <Figures
        size="small"
        items={[
          { label: 'Parameters', value: parameters(info.parameters) },
          {
            label: hub ? 'Download' : 'To read',
            value: bytes(info.downloadBytes),
            note: plural(info.weightFiles, 'weight file'),
          },
          { label: 'Layers', value: count(info.layers), note: `${count(info.hiddenSize)} wide` },
          { label: 'Vocabulary', value: count(info.vocabSize) },
          { label: 'Longest text', value: `${count(info.maxPositions)} tokens` },
          { label: 'Chat template', value: info.chatTemplate ? 'yes' : 'none' },
        ]}
      />
      <ChoiceSetting field="bnb_4bit_quant_type" />
      <FlagSetting field="embeddings_in_8bit" />
      <NumberSetting field="weight_memory_budget" errors={errors} />
      <PredictedMemory of="inspected" />
      {!info.chatTemplate && (
        <Notice kind="info">Without a chat template the data must be text, or prompts with completions.</Notice>
      )}
      <Button kind="primary" disabled={training} onClick={() => loadModel(location, info, quantization)}>
        <Icon name="download" />
        {hub ? `Download and load, ${bytes(info.downloadBytes)}` : 'Load'}
      </Button>
      <p className={styles.small}>
        {training
          ? 'A run is under way. It keeps its model until it ends.'
          : loaded
            ? `${loaded.info.name} is freed first: one model is held at a time.`
            : `Weights are quantized to 4 bits (${quantization.bnb_4bit_quant_type.toUpperCase()}) on the GPU as they arrive; those that are in 4 bits already stay as they are.`}
      </p>
    </div>
  );
}
