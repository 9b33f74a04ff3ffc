import { useState } from 'react';
import type { LeftOut } from '../../worker/protocol.ts';
import { saveFile } from '../export/save_file.ts';
import { count, plural } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Panel } from '../primitives/panel.tsx';
import { Table } from '../primitives/table.tsx';
import styles from './problem_list.module.css';
import { problemsCsv } from './problems_csv.ts';

const PAGE = 50;

const KINDS: Readonly<Record<string, string>> = {
  encoding: 'not UTF-8',
  syntax: 'not readable',
  'too-long': 'too long',
  'too-deep': 'nested too deep',
  'unclosed-quote': 'quote not closed',
  'ragged-row': 'other number of columns',
  'not-a-row': 'no row',
  'missing-field': 'field missing',
  'wrong-type': 'wrong type',
  'empty-field': 'empty',
  unsupported: 'not supported',
  'preference-pair': 'preference pair',
  duplicate: 'duplicate',
  'nothing-to-train': 'nothing to train',
  'truncated-to-nothing': 'cut before the answer',
  'prompt-not-a-token-prefix': 'token across the prompt',
  'template-refused': 'refused by the template',
  'spans-not-verified': 'answer not found again',
  'not-tokenizable': 'not tokenizable',
};

interface Props {
  /** The first of them. */
  readonly problems: readonly LeftOut[];
  /** How many there are. */
  readonly total: number;
}

/** Rows that are not trained on: file, line, field, kind, and what to do. */
export function ProblemList({ problems, total }: Props) {
  const [shown, setShown] = useState(PAGE);
  if (total === 0) return null;
  const save = () => void saveFile('problems.csv', 'text/csv', new Blob([problemsCsv(problems)]));
  return (
    <Panel
      title="Left out"
      lead={`${plural(total, 'row')} cannot be used; the others are.${total > problems.length ? ` The first ${count(problems.length)} are listed.` : ''}`}
      actions={
        <Button small onClick={save}>
          <Icon name="download" /> CSV
        </Button>
      }
    >
      <Table label="Rows left out" className={styles.table} columns={['Line', 'What', 'File', 'Field', 'Why']}>
        {problems.slice(0, shown).map(({ file, line, field, kind, reason }, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a line may have several, and the list only grows.
          <tr key={i}>
            <td className={styles.line}>{line}</td>
            <td className={styles.kind}>{KINDS[kind] ?? kind}</td>
            <td className={styles.file}>{file}</td>
            <td className={styles.field}>{field}</td>
            <td className={styles.reason}>{reason}</td>
          </tr>
        ))}
      </Table>
      {problems.length > shown && (
        <Button small onClick={() => setShown(shown + 10 * PAGE)}>
          Show more ({plural(problems.length - shown, 'row')} left)
        </Button>
      )}
    </Panel>
  );
}
