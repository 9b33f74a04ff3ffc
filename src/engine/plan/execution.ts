/**
 * A plan that is whole: encodes its dispatches and submits them, so that no dispatch and no submit takes long enough for
 * an operating system to think that the GPU hangs (see pacing.ts).
 */
import type { Gpu } from '../device/gpu.ts';
import { type KernelDefinition, variantKey } from '../kernels/kernel.ts';
import { type Grid, splitGrid, workgroupsOf } from './grid_parts.ts';
import type { Job } from './pacing.ts';
import { PartSlots } from './part_slots.ts';
import {
  type DispatchTime,
  type EncodedDispatch,
  type PlanTime,
  profileCommands,
  type TimedCommand,
  timeCommands,
} from './profile.ts';
import { Submitter } from './submitter.ts';
import { type ArenaTensor, type TensorView, view } from './tensor.ts';

/** Workgroup counts for a micro-batch of `tokens`; null where there is nothing to do. */
export type Workgroups = (tokens: number) => Grid | null;

export interface PlanCommand {
  readonly kernel: KernelDefinition;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: Workgroups;
  /** Floating-point operations, roughly; 0 where nobody counted. */
  readonly flopsPerToken: number;
}

/**
 * What happens between two dispatches of a plan; what follows is encoded when it is done.
 *
 * @param flush submits the dispatches before it: to be called before a copy that must come after them
 */
export type Interlude = (flush: () => void) => Promise<void> | void;

type Place = (v: TensorView) => { buffer: GPUBuffer; offset: number; size: number };

interface PacedCommand {
  readonly command: PlanCommand;
  readonly size: Grid;
  readonly job: Job;
}

export class Plan {
  readonly #gpu: Gpu;
  readonly #commands: readonly (PlanCommand & { readonly key: string })[];
  readonly #uniforms: GPUBuffer;
  readonly #place: Place;
  readonly #interludes: ReadonlyMap<number, readonly Interlude[]>;
  readonly #parts: PartSlots;
  /** Dispatches of each kernel so far; parts of one count each. */
  readonly dispatchCounts = new Map<string, number>();

  /** `interludes` by the command that they come before; those behind the last one by its number + 1. */
  constructor(
    gpu: Gpu,
    commands: readonly PlanCommand[],
    {
      uniforms,
      place,
      interludes,
    }: {
      readonly uniforms: GPUBuffer;
      readonly place: Place;
      readonly interludes: ReadonlyMap<number, readonly Interlude[]>;
    },
  ) {
    this.#gpu = gpu;
    this.#commands = commands.map((command) => ({
      ...command,
      key: `${variantKey(command.kernel)} ${command.flopsPerToken}`,
    }));
    this.#uniforms = uniforms;
    this.#place = place;
    this.#interludes = interludes;
    this.#parts = new PartSlots(gpu);
  }

  /** Where a kept tensor lies, for copies out of it. */
  locate(tensor: ArenaTensor): { buffer: GPUBuffer; offset: number } {
    return this.#place(view(tensor));
  }

  /**
   * Encodes and submits the whole plan for `tokens` tokens. Dispatches whose like this device has not run yet run alone,
   * timed and waited for; once all are known nothing waits.
   */
  async run(tokens: number): Promise<void> {
    const { pacing } = this.#gpu;
    const submitter = new Submitter(this.#gpu);
    this.#parts.recycle();
    for (const step of this.#jobs(tokens)) {
      if ('interlude' in step) {
        const waiting = step.interlude(() => submitter.flush());
        if (waiting) await waiting;
        continue;
      }
      const { command, size, job } = step;
      if (pacing.mustProbe(job)) await this.#probe(command, size, job, submitter);
      const { parts, partMs, timed } = pacing.pace(job);
      // Waiting costs more than encoding: nearly every dispatch is whole.
      const dispatches = parts === 1 ? [whole(command, size)] : await this.#inParts(command, size, parts);
      for (const dispatch of dispatches) {
        if (timed) pacing.record(job, partOf(job, dispatch.size), await submitter.time(dispatch));
        else submitter.add(dispatch, job.key, partMs);
      }
      const { name } = command.kernel;
      this.dispatchCounts.set(name, (this.dispatchCounts.get(name) ?? 0) + dispatches.length);
    }
    submitter.flush();
  }

  /**
   * Runs the plan with every dispatch timed: one entry a dispatch, in order, the parts of one added up. Slower than
   * {@link run}, and where a device has no timestamps the dispatches are repeated, so that what the tensors hold
   * afterwards means nothing.
   *
   * @throws Error for a plan with interludes: without them its dispatches do not have their data.
   */
  async profile(tokens: number): Promise<DispatchTime[]> {
    const commands: TimedCommand[] = [];
    for (const { command, size, job } of this.#dispatches(tokens)) {
      const { parts, partMs } = this.#gpu.pacing.pace(job);
      const dispatches = await this.#inParts(command, size, parts);
      const flops = command.flopsPerToken * tokens;
      commands.push({ kernel: command.kernel, flops, dispatches, partMs });
    }
    return profileCommands(this.#gpu, commands);
  }

  /** Runs the plan in one pass of one submit and times it as a whole: for plans of well under a second. */
  time(tokens: number): Promise<PlanTime> {
    const dispatches = [...this.#dispatches(tokens)].map(({ command, size }) => whole(command, size));
    return timeCommands(this.#gpu, dispatches);
  }

  dispose(): void {
    this.#parts.dispose();
    this.#gpu.ledger.destroy(this.#uniforms);
  }

  /** What there is to do for so many tokens. */
  *#jobs(tokens: number): Generator<PacedCommand | { readonly interlude: Interlude }> {
    for (const [at, command] of this.#commands.entries()) {
      for (const interlude of this.#interludes.get(at) ?? []) yield { interlude };
      const size = command.workgroups(tokens);
      const workgroups = size ? workgroupsOf(size) : 0;
      if (!size || workgroups === 0) continue;
      const counted = command.flopsPerToken > 0;
      const work = counted ? command.flopsPerToken * tokens : workgroups;
      yield { command, size, job: { key: command.key, work, counted, workgroups } };
    }
    for (const interlude of this.#interludes.get(this.#commands.length) ?? []) yield { interlude };
  }

  *#dispatches(tokens: number): Generator<PacedCommand> {
    for (const step of this.#jobs(tokens)) {
      if ('interlude' in step) throw new Error('a plan that moves data between its dispatches cannot be timed');
      yield step;
    }
  }

  /**
   * Times a few workgroups of a dispatch, then more, until it is known whether all together may pass the limit. What they
   * write is written again by the whole: only kernels that do not read it can be tried so.
   */
  async #probe(command: PlanCommand, size: Grid, job: Job, submitter: Submitter) {
    const { pacing } = this.#gpu;
    if (Object.values(command.kernel.bindings).some(({ access }) => access === 'inout')) return;
    for (let workgroups = 1; workgroups < job.workgroups; workgroups *= 8) {
      // The first of the boxes that so many workgroups cut the grid into.
      const [{ size: few }] = splitGrid(size, Math.ceil(job.workgroups / workgroups));
      const ms = await submitter.time(whole(command, few));
      pacing.record(job, partOf(job, few), ms);
      if (pacing.pace(job).parts === 1 || !pacing.mayProbeMore(ms)) return;
    }
  }

  async #inParts(command: PlanCommand, size: Grid, parts: number): Promise<EncodedDispatch[]> {
    const boxes = splitGrid(size, parts);
    if (boxes.length === 1) return [whole(command, size)];
    const { kernel, bindGroup } = command;
    const pipeline = await this.#gpu.pipelines.getInParts(kernel);
    return boxes.map((box) => ({ pipeline, bindGroup, size: box.size, part: this.#parts.slot(box, size) }));
  }
}

const whole = ({ pipeline, bindGroup }: PlanCommand, size: Grid): EncodedDispatch => ({
  pipeline,
  bindGroup,
  size,
  part: null,
});

const partOf = ({ work, workgroups }: Job, size: Grid) => (work * workgroupsOf(size)) / workgroups;
