import { useEffect, useRef } from 'react';
import { type Inspection as InspectionState, useModel } from '../../state/model_store.ts';
import { StartDemo } from '../demo/start_demo.tsx';
import { bytes } from '../format.ts';
import { Panel } from '../primitives/panel.tsx';
import { Screen } from '../primitives/screen.tsx';
import { EvictedModels } from '../runs/evicted_models.tsx';
import { DeviceFacts } from '../start/device_facts.tsx';
import { FolderPicker } from './folder_picker.tsx';
import { Inspection } from './inspection.tsx';
import { LoadedModel } from './loaded_model.tsx';
import { Loading } from './loading.tsx';
import { locationName } from './location_name.ts';
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
      <p className="unseen" role="status">
        {loading?.failure ? '' : spoken(inspection, loading?.info.name, loaded?.info.name)}
      </p>
      <StartDemo />
      <div className={styles.layout}>
        <div className={styles.search}>
          <ModelSearch />
        </div>
        <div ref={side} className={styles.side}>
          {loading && <Loading loading={loading} />}
          {inspection.status !== 'none' && !loading && <Inspection inspection={inspection} />}
          {loaded && <LoadedModel loaded={loaded} />}
          <EvictedModels />
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

/** What came of a look or of a download, for whoever does not see the panel that appears. */
function spoken(inspection: InspectionState, loading?: string, loaded?: string): string {
  if (loading) return `Loading ${loading}`;
  switch (inspection.status) {
    case 'running':
      return `Looking at ${locationName(inspection.location)}`;
    case 'ready': {
      const { modelType, downloadBytes } = inspection.info;
      return `${locationName(inspection.location)} can be loaded: ${modelType}, ${bytes(downloadBytes)}`;
    }
    // Its notice is read out by itself.
    case 'failed':
      return '';
    case 'none':
      return loaded ? `${loaded} is loaded` : '';
    default:
      return inspection satisfies never;
  }
}
