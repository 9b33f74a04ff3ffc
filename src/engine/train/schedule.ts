/** Learning-rate schedules as transformers has them (REFERENCE.md §3); the step counts from 0. */

export interface ScheduleConfig {
  readonly learning_rate: number;
  readonly lr_scheduler_type: 'constant' | 'constant_with_warmup' | 'linear' | 'cosine';
  /** Steps, or a share of all steps when between 0 and 1. */
  readonly warmup_steps: number;
}

export function warmupSteps({ warmup_steps }: { readonly warmup_steps: number }, maxSteps: number): number {
  return warmup_steps > 0 && warmup_steps < 1 ? Math.ceil(warmup_steps * maxSteps) : warmup_steps;
}

/** The rate of step `step`. With a warm-up the first update has rate 0. */
export function learningRateAt(step: number, config: ScheduleConfig, maxSteps: number): number {
  const { learning_rate, lr_scheduler_type } = config;
  if (lr_scheduler_type === 'constant') return learning_rate;
  const warmup = warmupSteps(config, maxSteps);
  if (step < warmup) return learning_rate * (step / Math.max(1, warmup));
  if (lr_scheduler_type === 'constant_with_warmup') return learning_rate;
  const progress = (step - warmup) / Math.max(1, maxSteps - warmup);
  const factor = lr_scheduler_type === 'linear' ? 1 - progress : 0.5 * (1 + Math.cos(Math.PI * progress));
  return learning_rate * Math.max(0, factor);
}
