import { CSPProvider } from '@base-ui/react/csp-provider';
import { useDevice } from '../state/device_store.ts';
import { type Screen, useNavigation } from '../state/navigation.ts';
import styles from './app.module.css';
import { DataScreen } from './data/data_screen.tsx';
import { ExportScreen } from './export/export_screen.tsx';
import { ModelScreen } from './model/model_screen.tsx';
import { RunsScreen } from './runs/runs_screen.tsx';
import { SelfTestScreen } from './self_test/self_test_screen.tsx';
import { CrashNotice } from './shell/crash_notice.tsx';
import { DropOverlay } from './shell/drop_overlay.tsx';
import { Footer } from './shell/footer.tsx';
import { TopBar } from './shell/top_bar.tsx';
import { NoWebGpu } from './start/no_webgpu.tsx';
import { TrainScreen } from './train/train_screen.tsx';
import { TryScreen } from './try/try_screen.tsx';

export function App() {
  const device = useDevice((state) => state.device);
  const screen = useNavigation((state) => state.screen);
  const missing = device.status === 'no-webgpu' || device.status === 'no-adapter';
  return (
    // The page's Content-Security-Policy lets no style element in.
    <CSPProvider disableStyleElements>
      <button type="button" className={styles.skip} onClick={() => document.getElementById('main')?.focus()}>
        Skip to the content
      </button>
      <TopBar steps={!missing} />
      <main id="main" tabIndex={-1} className={styles.main}>
        {device.status === 'no-webgpu' ? (
          <NoWebGpu reason={{ kind: 'no-webgpu', secure: device.secure }} />
        ) : device.status === 'no-adapter' ? (
          <NoWebGpu reason={{ kind: 'no-adapter', message: device.message }} />
        ) : (
          <>
            <CrashNotice />
            <Content screen={screen} />
          </>
        )}
      </main>
      <Footer />
      {!missing && <DropOverlay />}
    </CSPProvider>
  );
}

function Content({ screen }: { readonly screen: Screen }) {
  switch (screen) {
    case 'model':
      return <ModelScreen />;
    case 'data':
      return <DataScreen />;
    case 'train':
      return <TrainScreen />;
    case 'try':
      return <TryScreen />;
    case 'export':
      return <ExportScreen />;
    case 'runs':
      return <RunsScreen />;
    case 'self-test':
      return <SelfTestScreen />;
    default:
      return screen satisfies never;
  }
}
