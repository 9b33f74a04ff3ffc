/** Loss by step: a line for this GPU over a ring for each of PyTorch's values. */
import { svg } from './dom.ts';

const WIDTH = 640;
const HEIGHT = 280;
const MARGIN = { left: 44, right: 14, top: 14, bottom: 30 };

export function lossChart(ours: readonly number[], reference: readonly number[]): SVGElement {
  const count = Math.max(ours.length, reference.length, 2);
  const values = [...ours, ...reference];
  const low = Math.min(...values, Number.POSITIVE_INFINITY);
  const high = Math.max(...values, Number.NEGATIVE_INFINITY);
  const pad = Math.max((high - low) * 0.12, 0.02);
  const range = values.length === 0 ? { from: 0, to: 1 } : { from: low - pad, to: high + pad };
  const x = (index: number) => MARGIN.left + (index / (count - 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (value: number) =>
    HEIGHT - MARGIN.bottom - ((value - range.from) / (range.to - range.from)) * (HEIGHT - MARGIN.top - MARGIN.bottom);

  const grid = ticks(range.from, range.to).flatMap((tick) => [
    svg('line', { class: 'grid', x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: y(tick), y2: y(tick) }),
    svg('text', { class: 'tick', x: MARGIN.left - 8, y: y(tick) + 4, 'text-anchor': 'end' }, tick.toFixed(1)),
  ]);
  const stepTicks = [1, Math.round(count / 2), count].map((step) =>
    svg('text', { class: 'tick', x: x(step - 1), y: HEIGHT - 8, 'text-anchor': 'middle' }, String(step)),
  );
  const line = svg('polyline', { class: 'ours', points: ours.map((value, i) => `${x(i)},${y(value)}`).join(' ') });
  const dots = ours.map((value, i) => svg('circle', { class: 'ours-dot', cx: x(i), cy: y(value), r: 2.4 }));
  const rings = reference.map((value, i) => svg('circle', { class: 'reference', cx: x(i), cy: y(value), r: 5 }));
  return svg(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `Training loss over ${count} steps` },
    ...(values.length > 0 ? grid : []),
    ...stepTicks,
    ...rings,
    line,
    ...dots,
  );
}

/** Round numbers, four to eight of them. */
function ticks(from: number, to: number): number[] {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((size) => (to - from) / size <= 6) ?? (to - from) / 4;
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, i) => (first + i) * step);
}
