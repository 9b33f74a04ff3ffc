import type { StudioDataSummary } from '../../worker/studio_protocol.ts';
import { count, percent, plural } from '../format.ts';
import { Figures } from '../primitives/figures.tsx';
import { Notice } from '../primitives/notice.tsx';
import { Panel } from '../primitives/panel.tsx';
import styles from './data_summary.module.css';
import { LengthHistogram } from './length_histogram.tsx';

interface Props {
  readonly summary: StudioDataSummary;
  /** What the rows were cut at. */
  readonly maxLength: number;
  /** Being made again. */
  readonly stale: boolean;
}

export function DataSummary({ summary, maxLength, stale }: Props) {
  const { tokens, trainedTokens, truncated, droppedCount, duplicates } = summary;
  const share = tokens > 0 ? trainedTokens / tokens : 0;
  return (
    <Panel title="What is trained" className={stale ? styles.stale : undefined}>
      <p className="unseen" role="status">
        {stale
          ? 'Reading again'
          : `${plural(summary.examples, 'example')} read, ${plural(droppedCount, 'row')} left out`}
      </p>
      <Figures
        size="wide"
        items={[
          {
            label: 'Examples',
            value: count(summary.examples),
            note: `${plural(summary.stepsPerEpoch, 'step')} an epoch`,
          },
          { label: 'Trained tokens', value: count(trainedTokens), note: `${percent(share)} of ${count(tokens)}` },
          {
            label: 'Duplicates',
            value: count(duplicates),
            note: duplicates === 0 ? 'none' : 'on one side of the split',
          },
          { label: 'Cut at max_length', value: count(truncated), note: truncated === 0 ? 'none' : 'rows' },
          {
            label: 'Validation',
            value: count(summary.validationExamples),
            note: summary.validationExamples === 0 ? 'none held out' : 'held out',
          },
          {
            label: 'Left out',
            value: count(droppedCount),
            note: droppedCount === 0 ? 'every row is used' : 'listed below',
          },
        ]}
      />
      <LengthHistogram lengths={summary.lengths} maxLength={maxLength} truncated={truncated} />
      {summary.warnings.map((warning) => (
        <Notice key={warning} kind="warn">
          {warning}
        </Notice>
      ))}
      {trainedTokens === 0 && (
        <Notice kind="bad" title="No token would be trained">
          With assistant_only_loss, every row needs an assistant message. Switch it off, or mend the data.
        </Notice>
      )}
      {summary.notes.map(({ text, rows, firstLine }) => (
        <Notice key={text} kind="info">
          {text} {plural(rows, 'row')}, first in line {firstLine}.
        </Notice>
      ))}
    </Panel>
  );
}
