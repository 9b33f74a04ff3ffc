import type { Gpu } from '../device/gpu.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import type { MeasuredChoices, TunedProblem } from './measured_choices.ts';
import type { Scratch } from './scratch.ts';

/** Kernels that a choice is measured for. */
export interface Tuning<Problem extends TunedProblem, Choice> {
  choices(gpu: Gpu): MeasuredChoices<Problem, Choice>;
  /** Multiplications, about: what costs most is measured first. */
  cost(problem: Problem): number;
  scratchBytes(problem: Problem): number;
  /** What is worth measuring. */
  candidates(problem: Problem, gpu: Gpu): readonly Choice[];
  /** The problem's dispatches, as a plan of `problem.rows` tokens has them. */
  record(plan: PlanBuilder, problem: Problem, choice: Choice, scratch: Scratch): void;
}
