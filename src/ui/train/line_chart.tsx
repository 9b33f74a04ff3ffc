import { useEffect, useRef, useState } from 'react';
import uPlot from 'uplot';
import { pointAt } from '../../state/chart_store.ts';
import { cancelFrame, inFrameOfItsOwn } from './frames.ts';
import styles from './line_chart.module.css';

export interface ChartSeries {
  readonly label: string;
  /** A colour of tokens.css. */
  readonly colour: string;
  /** 0 draws no line. */
  readonly width: number;
  readonly points?: boolean;
  /** Lengths of dashes and gaps, pixels; left out for an unbroken line. */
  readonly dash?: readonly number[];
}

interface Props {
  readonly title: string;
  readonly series: readonly ChartSeries[];
  readonly steps: number[];
  /** A column for each series, as long as `steps`. */
  readonly values: readonly (number | null)[][];
  /** The columns grow in place: this tells that they did. */
  readonly version: number;
  readonly height: number;
  readonly scheme: 'light' | 'dark';
  readonly logScale?: boolean;
  readonly fromZero?: boolean;
  readonly scientific?: boolean;
}

/** A curve by step; before the first step, a place for it. */
export function LineChart(props: Props) {
  if (props.steps.length > 0) return <Plot {...props} />;
  return (
    <div className={styles.none} style={{ height: props.height }}>
      The curve begins with the first step.
    </div>
  );
}

/** A uPlot canvas that shares its cursor with the others of the page. */
function Plot(props: Props) {
  const { title, steps, values, version, height, scheme, logScale = false } = props;
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [draw] = useState(() => () => chart.current?.setData(dataOf(latest.current)));

  // biome-ignore lint/correctness/useExhaustiveDependencies: made anew only for what uPlot cannot change.
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    let width = 0;
    const make = () => {
      chart.current = new uPlot(options(element, width, latest.current), undefined, element);
      inFrameOfItsOwn(draw);
    };
    // It tells the first width as well, with the layout of the frame: asking for it would force one.
    const observer = new ResizeObserver(([entry]) => {
      width = Math.floor(entry!.contentRect.width);
      if (chart.current) chart.current.setSize({ width, height });
      else inFrameOfItsOwn(make);
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      cancelFrame(make);
      cancelFrame(draw);
      chart.current?.destroy();
      chart.current = null;
      pointAt(null);
    };
  }, [scheme, logScale, height]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: version stands for what is in the columns.
  useEffect(() => {
    if (chart.current) inFrameOfItsOwn(draw);
  }, [steps, values, version]);

  const last = values[0]?.at(-1);
  const label = last == null ? title : `${title}: ${Number(last.toPrecision(4))} at step ${steps.at(-1)}`;
  return <div ref={place} className={styles.chart} style={{ height }} role="img" aria-label={label} />;
}

function dataOf({ steps, values }: Props): uPlot.AlignedData {
  return [steps, ...values] as uPlot.AlignedData;
}

function options(element: HTMLElement, width: number, props: Props): uPlot.Options {
  const { series, height, logScale = false, fromZero = false, scientific = false } = props;
  const colour = colourReader(element);
  const axis: uPlot.Axis = {
    stroke: colour('--ink-soft'),
    font: '12px system-ui, sans-serif',
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: {
      sync: { key: 'run' },
      drag: { x: true, y: false },
      points: { size: 7 },
      y: false,
    },
    scales: {
      x: { time: false, range: (_, min, max) => (max - min < 10 ? [min, min + 10] : [min, max]) },
      y: {
        distr: logScale ? 3 : 1,
        ...(fromZero ? { range: (_, __, max) => [0, max * 1.15 || 1] as [number, number] } : {}),
      },
    },
    axes: [
      { ...axis, space: 60, size: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000] },
      {
        ...axis,
        size: scientific ? 58 : 46,
        space: 34,
        ...(scientific
          ? { values: (_, splits) => splits.map((value) => (value === 0 ? '0' : value.toExponential(1))) }
          : {}),
      },
    ],
    series: [
      {},
      ...series.map(({ label, colour: name, width, points = false, dash = [] }) => ({
        label,
        stroke: colour(name),
        width,
        spanGaps: true,
        dash: [...dash],
        points: points ? { show: true, size: 9, fill: colour(name), stroke: colour('--surface') } : { show: false },
      })),
    ],
    hooks: { setCursor: [(chart) => pointAt(chart.cursor.idx ?? null)] },
  };
}

/** A canvas needs colours as they come out, not as tokens.css has them. */
function colourReader(element: HTMLElement): (name: string) => string {
  const style = getComputedStyle(element);
  return (name) => {
    element.style.color = `var(${name})`;
    const { color } = style;
    element.style.color = '';
    return color;
  };
}
