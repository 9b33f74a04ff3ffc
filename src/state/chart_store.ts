/** How the curves are shown, and which step is pointed at. */
import { create } from 'zustand';

interface ChartState {
  /** β of the debiased average, 0 for none. */
  readonly smoothing: number;
  readonly logScale: boolean;
  /** Index into the series; null shows the latest step. */
  readonly pointed: number | null;
}

export const useCharts = create<ChartState>()(() => ({ smoothing: 0.8, logScale: false, pointed: null }));

export const setSmoothing = (smoothing: number): void => useCharts.setState({ smoothing });
export const setLogScale = (logScale: boolean): void => useCharts.setState({ logScale });

export function pointAt(pointed: number | null): void {
  if (useCharts.getState().pointed !== pointed) useCharts.setState({ pointed });
}
