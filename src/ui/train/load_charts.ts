/** A script of its own, fetched while the settings are looked at: when the run starts, the GPU wants the processor. */
export const loadCharts = () => import('./charts.tsx');
