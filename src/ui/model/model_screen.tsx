import { useEffect, useRef } from 'react';
import { useModel } from '../../state/model_store.ts';
import { Panel } from '../primitives/panel.tsx';
import { Screen } from '../primitives/screen.tsx';
import { DeviceFacts } from '../start/device_facts.tsx';
import { FolderPicker } from './folder_picker.tsx';
import { Inspection } from './inspection.tsx';
import { LoadedModel } from './loaded_model.tsx';
import { Loading } from './loading.tsx';
import { ModelList } from './model_list.tsx';
import styles from './model_screen.module.css';
import { ModelSearch } from './model_search.tsx';

export function ModelScreen() {
  const loading = useModel((state) => state.loading);
  const loaded = useModel((state) => state.loaded);
  const inspection = useModel((state) => state.inspection);
  const side = useRef<HTMLDivElement>(null);
  // Chosen from the list on a narrow screen, the model is shown above it.
  useEffect(() => {
    if (inspection.status !== 'none') side.current?.scrollIntoView({ block: 'nearest' });
  }, [inspection.status]);
  return (
    <Screen
      title="Choose a model"
      lead="Take one from the Hugging Face Hub or from a folder. It is looked at first: nothing large is downloaded before you say so."
    >
      <div className={styles.layout}>
        <div className={styles.search}>
          <ModelSearch />
        </div>
        <div ref={side} className={styles.side}>
          {loading && <Loading loading={loading} />}
          {inspection.status !== 'none' && !loading && <Inspection inspection={inspection} />}
          {loaded && <LoadedModel loaded={loaded} />}
        </div>
        <div className={styles.list}>
          <ModelList />
          <FolderPicker />
        </div>
        <div className={styles.device}>
          <Panel title="This device">
            <DeviceFacts />
          </Panel>
        </div>
      </div>
    </Screen>
  );
}
