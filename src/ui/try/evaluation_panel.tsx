import {
  evaluateFiles,
  isEvaluating,
  parseLimit,
  setLimit,
  stopEvaluation,
  useEvaluation,
} from '../../state/evaluation_store.ts';
import { isWriting, useTry } from '../../state/try_store.ts';
import type { EvaluationResult, EvaluationScore, TryAdapter } from '../../worker/studio_protocol.ts';
import { FileButton } from '../files/file_button.tsx';
import { count, duration, percent, plural } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Field } from '../primitives/field.tsx';
import { type Figure, Figures } from '../primitives/figures.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Input } from '../primitives/input.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';
import { Progress } from '../primitives/progress.tsx';
import { Table } from '../primitives/table.tsx';
import styles from './evaluation_panel.module.css';

/** Questions with known answers: how many the base model gets right, and how many with the adapter. */
export function EvaluationPanel({ adapter }: { readonly adapter: TryAdapter }) {
  const { limit, file, done, total, status, result, failure } = useEvaluation();
  const running = useEvaluation(isEvaluating);
  const writing = useTry(isWriting);
  const wrong = parseLimit(limit) === null;
  return (
    <Panel
      title="Evaluation"
      lead="A held-out file of questions: rows with choices and an answer are scored by likelihood, all others must be answered word for word."
    >
      <div className={styles.start}>
        <Field
          name="rows"
          help="At most so many questions, from the first."
          error={wrong ? 'Enter a whole number.' : undefined}
        >
          {({ id, describedBy, invalid }) => (
            <Input
              id={id}
              inputMode="numeric"
              aria-describedby={describedBy}
              aria-invalid={invalid}
              disabled={running}
              value={limit}
              onChange={({ currentTarget }) => setLimit(currentTarget.value)}
            />
          )}
        </Field>
        <FileButton
          accept=".jsonl,.json,.csv,.tsv,.parquet,.gz"
          disabled={running || writing || wrong}
          onPick={(picked) =>
            evaluateFiles(
              picked.files.map((one) => one.file),
              adapter,
            )
          }
        >
          <Icon name="upload" /> Evaluate on a file
        </FileButton>
      </div>
      {running && (
        <div className={styles.running}>
          <Progress share={total > 0 ? done / total : null} label={`Evaluating on ${file}`} thin />
          <p role="status">{total > 0 ? `${count(done)} of ${plural(total, 'question')}` : `Reading ${file} …`}</p>
          <Button small busy={status === 'stopping'} onClick={stopEvaluation}>
            <Icon name="stop" /> Stop
          </Button>
        </div>
      )}
      {failure && (
        <Notice kind="bad" title={`${file} could not be evaluated`}>
          {failure.message}
        </Notice>
      )}
      {result && <Result result={result} file={file} />}
    </Panel>
  );
}

function Result({ result, file }: { readonly result: EvaluationResult; readonly file: string }) {
  const { kind, base, tuned, skipped, reason, stopped, seconds } = result;
  const choice = kind === 'multiple choice';
  const figures: Figure[] = [
    { label: 'Base model', value: shareOf(base), note: noteOf(base, choice) },
    ...(tuned ? [{ label: 'With the adapter', value: shareOf(tuned), note: noteOf(tuned, choice) }] : []),
    { label: 'Questions', value: count(base.answered), note: `${kind}, ${duration(seconds)}` },
  ];
  return (
    <>
      <Figures items={figures} />
      {stopped && (
        <Notice kind="info" title="Stopped early">
          These are the figures of the questions asked until then.
        </Notice>
      )}
      {skipped > 0 && (
        <Notice kind="warn" title={`${plural(skipped, 'row')} left out`}>
          {reason}
        </Notice>
      )}
      <details className={styles.details}>
        <summary>Answers to {file}</summary>
        <Table
          label="Answers"
          className={styles.table}
          columns={['line', 'question', 'expected', 'base', ...(tuned ? ['tuned'] : [])]}
        >
          {result.rows.map((row) => (
            <tr key={row.line}>
              <td>{count(row.line)}</td>
              <td>{row.question}</td>
              <td>{row.expected}</td>
              <Answered text={row.base} right={row.baseRight} />
              {tuned && <Answered text={row.tuned ?? ''} right={row.tunedRight} />}
            </tr>
          ))}
        </Table>
      </details>
    </>
  );
}

function Answered({ text, right }: { readonly text: string; readonly right: boolean }) {
  return (
    <td className={right ? styles.right : styles.wrong}>
      <span className={styles.mark}>{right ? 'right' : 'wrong'}</span> {text}
    </td>
  );
}

const shareOf = ({ correct, answered }: EvaluationScore) => percent(answered > 0 ? correct / answered : 0);

const noteOf = ({ correct, correctByLength, answered }: EvaluationScore, choice: boolean) =>
  `${count(correct)} right${choice ? `, ${percent(answered > 0 ? correctByLength / answered : 0)} by length` : ''}`;
