import { useCharts } from '../../state/chart_store.ts';
import { useRun } from '../../state/run_store.ts';
import { count, loss, scientific } from '../format.ts';
import { Figures } from '../primitives/figures.tsx';

/** The figures of the step that is pointed at, or of the latest. */
export function Readout({ smoothed }: { readonly smoothed: readonly number[] }) {
  const series = useRun((state) => state.series);
  const length = useRun((state) => state.version);
  const latestEval = useRun((state) => state.latestEval);
  const pointed = useCharts((state) => state.pointed);
  const at = Math.min(pointed ?? length - 1, length - 1);
  const show = (values: readonly number[], text: (value: number) => string) => (at < 0 ? '–' : text(values[at]!));
  const evaluated = pointed === null ? (latestEval?.loss ?? null) : (series.eval_loss[at] ?? null);
  return (
    <Figures
      size="small"
      items={[
        { label: pointed === null ? 'Latest step' : 'Step pointed at', value: show(series.step, count) },
        { label: 'Loss', value: show(series.loss, loss) },
        { label: 'Smoothed', value: show(smoothed, loss) },
        { label: 'Validation loss', value: evaluated === null ? '–' : loss(evaluated) },
        { label: 'Learning rate', value: show(series.learning_rate, scientific) },
        { label: 'Gradient norm', value: show(series.grad_norm, (value) => value.toFixed(3)) },
        { label: 'Tokens/s', value: show(series.tokensPerSecond, count) },
        { label: 'Trained tokens', value: count(series.tokens) },
      ]}
    />
  );
}
