import 'uplot/dist/uPlot.min.css';
import { memo, useMemo } from 'react';
import { setLogScale, setSmoothing, useCharts } from '../../state/chart_store.ts';
import { useRun } from '../../state/run_store.ts';
import { smooth } from '../../state/smoothing.ts';
import styles from './charts.module.css';
import { type ChartSeries, LineChart } from './line_chart.tsx';
import { Readout } from './readout.tsx';
import { useColourScheme } from './use_colour_scheme.ts';

/** For what shows curves elsewhere: uPlot comes with this script. */
export { LineChart };

const LOSS: readonly ChartSeries[] = [
  { label: 'loss', colour: '--line-strong', width: 1 },
  { label: 'smoothed', colour: '--accent', width: 2.5 },
  { label: 'validation', colour: '--amber', width: 0, points: true },
];
const LEARNING_RATE: readonly ChartSeries[] = [{ label: 'learning_rate', colour: '--activations', width: 2 }];
const GRAD_NORM: readonly ChartSeries[] = [{ label: 'grad_norm', colour: '--optimizer', width: 1.5 }];
const SPEED: readonly ChartSeries[] = [{ label: 'tokens/s', colour: '--logits', width: 1.5 }];

/** All curves of the run, with one cursor. */
export default memo(function Charts() {
  const series = useRun((state) => state.series);
  const version = useRun((state) => state.version + state.evaluations);
  const smoothing = useCharts((state) => state.smoothing);
  const logScale = useCharts((state) => state.logScale);
  const scheme = useColourScheme();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the series grows in place, version says so.
  const smoothed = useMemo(() => smooth(series.loss, smoothing), [series, version, smoothing]);
  const common = { steps: series.step, version, scheme };
  return (
    <section className={styles.charts} aria-label="Curves">
      <Readout smoothed={smoothed} />
      <div className={styles.loss}>
        <div className={styles.head}>
          <h2>Loss</h2>
          <p className={styles.legend}>
            <span className={styles.raw}>each step</span>
            <span className={styles.smoothed}>smoothed</span>
            <span className={styles.validation}>validation</span>
          </p>
          <label className={styles.smoothing}>
            Smoothing
            <input
              type="range"
              min={0}
              max={0.99}
              step={0.01}
              value={smoothing}
              onChange={({ currentTarget }) => setSmoothing(currentTarget.valueAsNumber)}
            />
            <output>{smoothing.toFixed(2)}</output>
          </label>
          <label className={styles.smoothing}>
            <input
              type="checkbox"
              checked={logScale}
              onChange={({ currentTarget }) => setLogScale(currentTarget.checked)}
            />
            Log scale
          </label>
        </div>
        <LineChart
          {...common}
          title="Loss by step"
          series={LOSS}
          values={[series.loss, smoothed, series.eval_loss]}
          height={300}
          logScale={logScale}
        />
      </div>
      <div className={styles.small}>
        <figure>
          <figcaption>learning_rate</figcaption>
          <LineChart
            {...common}
            title="Learning rate by step"
            series={LEARNING_RATE}
            values={[series.learning_rate]}
            height={150}
            scientific
          />
        </figure>
        <figure>
          <figcaption>grad_norm</figcaption>
          <LineChart
            {...common}
            title="Gradient norm by step"
            series={GRAD_NORM}
            values={[series.grad_norm]}
            height={150}
          />
        </figure>
        <figure>
          <figcaption>tokens/s</figcaption>
          <LineChart
            {...common}
            title="Tokens a second by step"
            series={SPEED}
            values={[series.tokensPerSecond]}
            height={150}
            fromZero
          />
        </figure>
      </div>
    </section>
  );
});
