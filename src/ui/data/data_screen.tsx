import { useData } from '../../state/data_store.ts';
import { useModel } from '../../state/model_store.ts';
import { EmptyState } from '../primitives/empty_state.tsx';
import { Icon } from '../primitives/icon.tsx';
import { LinkButton } from '../primitives/link_button.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Screen } from '../primitives/screen.tsx';
import { DataFailure } from './data_failure.tsx';
import { DataFile } from './data_file.tsx';
import styles from './data_screen.module.css';
import { DataSettings } from './data_settings.tsx';
import { DataSummary } from './data_summary.tsx';
import { DroppedRows } from './dropped_rows.tsx';
import { RowBrowser } from './row_browser.tsx';

export function DataScreen() {
  const status = useData((state) => state.status);
  const summary = useData((state) => state.summary);
  const model = useModel((state) => state.loaded);
  return (
    <Screen
      title="Bring your data"
      lead="One JSON object a line: messages, prompt and completion, or text. It is read here and stays here."
      actions={
        status === 'ready' && (
          <LinkButton primary href="#train">
            Go on to training <Icon name="chevron" />
          </LinkButton>
        )
      }
    >
      <div className={styles.layout}>
        <div className={styles.main}>
          <DataFile />
          {status === 'waiting' && !model && (
            <EmptyState title="First a model" actions={<LinkButton href="#model">Choose a model</LinkButton>}>
              Rows are cut into tokens by the model’s own tokenizer and chat template. The file is read as soon as a
              model is loaded.
            </EmptyState>
          )}
          {status === 'waiting' && model && (
            <Notice kind="warn" title="Not read yet">
              A setting of how rows are read is wrong; the file is read when it is corrected.
            </Notice>
          )}
          {status === 'failed' && <DataFailure />}
          {summary && <DataSummary summary={summary} stale={status !== 'ready'} />}
          {summary && <RowBrowser summary={summary} stale={status !== 'ready'} />}
          {summary && <DroppedRows dropped={summary.dropped} />}
        </div>
        <div className={styles.side}>
          <DataSettings />
        </div>
      </div>
    </Screen>
  );
}
