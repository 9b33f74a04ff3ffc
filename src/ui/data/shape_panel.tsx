import { mappingError } from '../../state/columns.ts';
import { setColumns, useData } from '../../state/data_store.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { Button } from '../primitives/button.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';
import { ColumnMapping } from './column_mapping.tsx';

const NAMES: Readonly<Record<string, string>> = {
  text: 'plain text',
  prompt: 'prompt and completion',
  messages: 'conversations',
  sharegpt: 'conversations (ShareGPT)',
  alpaca: 'instructions (Alpaca)',
  question: 'questions and answers',
  mixed: 'rows of several shapes',
};

/** What the rows were taken for and why, or what their columns are by hand. */
export function ShapePanel() {
  const { table, columns } = useData();
  const locked = useRun((state) => isActive(state.status));
  if (!table || table.rows === 0) return null;
  const known = NAMES[table.shape];
  const byHand = columns !== null;
  const wrong = columns && mappingError(columns);
  return (
    <Panel
      title={byHand ? 'Columns, mapped by hand' : known ? `Read as ${known}` : 'Which column is what?'}
      lead={byHand ? 'Columns of one role are put below each other.' : table.reason}
      actions={
        <Button small disabled={locked} onClick={() => setColumns(byHand ? null : {})}>
          {byHand ? 'Back to what was found' : 'Map columns by hand'}
        </Button>
      }
    >
      {!byHand && !known && (
        <Notice
          kind="warn"
          title={table.shape === 'preference' ? 'Preference pairs are not trained on' : 'Not clear yet'}
        >
          Map the columns by hand, and the rows are read at once.
        </Notice>
      )}
      {byHand && <ColumnMapping columns={columns} names={table.columns} disabled={locked} />}
      {wrong && <Notice kind="warn">{wrong}</Notice>}
    </Panel>
  );
}
