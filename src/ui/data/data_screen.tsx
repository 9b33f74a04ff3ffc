import { mappingError } from '../../state/columns.ts';
import { useData } from '../../state/data_store.ts';
import { useModel } from '../../state/model_store.ts';
import { readAgain } from '../../state/studio.ts';
import { Button } from '../primitives/button.tsx';
import { EmptyState } from '../primitives/empty_state.tsx';
import { Icon } from '../primitives/icon.tsx';
import { LinkButton } from '../primitives/link_button.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';
import { Screen } from '../primitives/screen.tsx';
import { SideLayout } from '../primitives/side_layout.tsx';
import { DataFiles } from './data_files.tsx';
import { DataSettings } from './data_settings.tsx';
import { DataSummary } from './data_summary.tsx';
import { ProblemList } from './problem_list.tsx';
import { RowTable } from './row_table.tsx';
import { RowView } from './row_view.tsx';
import { ShapePanel } from './shape_panel.tsx';

export function DataScreen() {
  const { status, summary, settings, table, location, failure, columns } = useData();
  const model = useModel((state) => state.loaded);
  const unclear = table !== null && (table.shape === 'unknown' || table.shape === 'preference');
  const unmapped = unclear && (columns === null || mappingError(columns) !== null);
  const problems = summary
    ? { problems: summary.dropped, total: summary.droppedCount }
    : { problems: table?.problems ?? [], total: table?.problemCount ?? 0 };
  return (
    <Screen
      title="Bring your data"
      lead="Files become rows, rows become tokens: here, on this machine, where you can look at each of them."
      actions={
        status === 'ready' && (
          <LinkButton primary href="#train">
            Go on to training <Icon name="chevron" />
          </LinkButton>
        )
      }
    >
      <SideLayout side={<DataSettings />}>
        <DataFiles />
        {status === 'failed' && failure && (
          <Notice
            kind="bad"
            title="This data cannot be trained on as it is"
            actions={
              <Button small onClick={readAgain}>
                Read it again
              </Button>
            }
          >
            {failure.message}
          </Notice>
        )}
        <ShapePanel />
        {status === 'waiting' && model && location && table && !unclear && (
          <Notice kind="warn" title="Not read yet">
            A setting of how rows are read is wrong; they are read when it is corrected.
          </Notice>
        )}
        {location && !model && (
          <EmptyState title="First a model" actions={<LinkButton href="#model">Choose a model</LinkButton>}>
            Rows are cut into tokens by the model’s own tokenizer and chat template, as soon as a model is loaded.
          </EmptyState>
        )}
        {summary && settings && (
          <DataSummary summary={summary} maxLength={settings.max_length} stale={status !== 'ready'} />
        )}
        {table && table.rows > 0 && (
          <Panel
            title="Rows"
            lead={`As the ${table.files.length > 1 ? 'files have' : 'file has'} them. Choose one to see it below.`}
          >
            <RowTable table={table} />
          </Panel>
        )}
        {model && !unmapped && <RowView />}
        <ProblemList {...problems} />
      </SideLayout>
    </Screen>
  );
}
