import { lazy, Suspense, useMemo } from 'react';
import { useCharts } from '../../state/chart_store.ts';
import { clearCompared, differences, isComparable, overlay, useCompared } from '../../state/compared_runs.ts';
import type { RunSummary } from '../../worker/studio_protocol.ts';
import { count, loss } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Panel } from '../primitives/panel.tsx';
import { Table } from '../primitives/table.tsx';
import type { ChartSeries } from '../train/line_chart.tsx';
import { loadCharts } from '../train/load_charts.ts';
import { useColourScheme } from '../train/use_colour_scheme.ts';
import styles from './compare_runs.module.css';

const LineChart = lazy(async () => ({ default: (await loadCharts()).LineChart }));

const HEIGHT = 300;

/** A place's colour and dashes: told apart by either. */
const LOOKS: readonly Pick<ChartSeries, 'colour' | 'dash'>[] = [
  { colour: '--accent' },
  { colour: '--logits', dash: [10, 4] },
  { colour: '--activations', dash: [3, 3] },
  { colour: '--amber', dash: [14, 4, 3, 4] },
  { colour: '--optimizer', dash: [6, 3] },
  { colour: '--cache', dash: [2, 5] },
];

/** The curves of the runs that were chosen in one chart, and what they were trained with where that differs. */
export function CompareRuns({ runs }: { readonly runs: readonly RunSummary[] }) {
  const chosen = useCompared((state) => state.chosen);
  const scheme = useColourScheme();
  const compared = useMemo(
    () =>
      chosen.flatMap((id, place) => {
        const run = runs.find((one) => one.id === id && isComparable(one));
        return run ? [{ run, look: LOOKS[place]! }] : [];
      }),
    [chosen, runs],
  );
  const { steps, values } = useMemo(() => overlay(compared.map(({ run }) => run)), [compared]);
  const pointed = useCharts((state) => state.pointed);
  if (compared.length === 0) return null;
  const series = compared.map(({ run, look }) => ({ label: run.name, width: 2, ...look }));
  const at = pointed === null ? null : (steps[pointed] ?? null);
  const title = `Loss by step of ${compared.map(({ run }) => run.name).join(', ')}`;
  return (
    <Panel
      title={compared.length === 1 ? 'Compare runs' : `${compared.length} runs compared`}
      lead={
        compared.length === 1
          ? 'Choose another run above to lay its curve over this one.'
          : 'Loss by step. A point is the mean of the steps since the one before; a curve has 60 at most.'
      }
      actions={
        <Button small onClick={clearCompared}>
          Clear
        </Button>
      }
    >
      <Suspense fallback={<div style={{ height: HEIGHT }} />}>
        <LineChart
          // uPlot keeps the series that it was made with.
          key={compared.map(({ run }) => run.id).join()}
          {...{ title, series, steps, values, scheme }}
          version={0}
          height={HEIGHT}
        />
      </Suspense>
      <ul className={styles.legend} aria-label="Curves">
        {compared.map(({ run, look }, i) => (
          <li key={run.id}>
            <svg viewBox="0 0 32 4" aria-hidden="true" style={{ color: `var(${look.colour})` }}>
              <line x1="0" y1="2" x2="32" y2="2" strokeDasharray={look.dash?.join(' ')} />
            </svg>
            <span className={styles.name}>{run.name}</span>
            <span className={styles.value}>{reading(run, steps, values[i]!, at)}</span>
          </li>
        ))}
      </ul>
      {compared.length > 1 && <Differences runs={compared.map(({ run }) => run)} />}
    </Panel>
  );
}

/** A curve's last point, or the last up to the step that is pointed at. */
function reading(run: RunSummary, steps: readonly number[], column: readonly (number | null)[], at: number | null) {
  const end = at === null ? steps.length : steps.findLastIndex((step) => step <= at) + 1;
  const last = column.slice(0, end).findLastIndex((value) => value !== null);
  if (last < 0) return `begins after step ${count(at ?? 0)}`;
  const whole = at === null ? ` of ${count(run.totalSteps)}` : '';
  return `loss ${loss(column[last]!)} at step ${count(steps[last]!)}${whole}`;
}

function Differences({ runs }: { readonly runs: readonly RunSummary[] }) {
  const rows = differences(runs);
  if (rows.length === 0) return <p className={styles.same}>All of them were trained with the same settings.</p>;
  return (
    <Table
      label="Settings that differ"
      columns={['Setting', ...runs.map(({ name }) => name)]}
      className={styles.table!}
    >
      {rows.map(({ name, values }) => (
        <tr key={name}>
          <th scope="row">{name}</th>
          {values.map((value, i) => (
            <td key={runs[i]!.id}>{value}</td>
          ))}
        </tr>
      ))}
    </Table>
  );
}
