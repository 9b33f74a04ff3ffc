/**
 * How long dispatches take: by timestamps of the GPU where it has them, else by the clock. A page's timestamps are
 * rounded to about 0.1 ms (Dawn: `timestamp_quantization`), so that a short dispatch's time is right on average only.
 */
import type { Gpu } from '../device/gpu.ts';
import { type KernelDefinition, variantKey } from '../kernels/kernel.ts';
import type { Grid } from './grid_parts.ts';
import { SUBMIT_MS } from './pacing.ts';
import type { PartBinding } from './part_slots.ts';
import { PassTimestamps } from './timestamps.ts';

/** A dispatch with its size decided, or a part of one. */
export interface EncodedDispatch {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly size: Grid;
  /** Which part of the grid it is; null for all of it. */
  readonly part: PartBinding | null;
}

export function encodeDispatch(pass: GPUComputePassEncoder, { pipeline, bindGroup, size, part }: EncodedDispatch) {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  if (part) pass.setBindGroup(1, part.bindGroup, [part.offset]);
  pass.dispatchWorkgroups(...size);
}

export interface TimedCommand {
  readonly kernel: KernelDefinition;
  /** As the plan estimates them. */
  readonly flops: number;
  /** One, or the parts that it is cut into. */
  readonly dispatches: readonly EncodedDispatch[];
  /** What each is expected to take. */
  readonly partMs: number;
}

export interface DispatchTime {
  readonly kernel: KernelDefinition;
  readonly flops: number;
  /** Of all its parts. */
  readonly milliseconds: number;
  /** Of its longest part: of itself, where it is not cut. */
  readonly longest: number;
}

export interface PlanTime {
  /** On the GPU, by its timestamps; null where it has none. */
  readonly gpu: number | null;
  /** From submit to the end of the work, in milliseconds. */
  readonly wall: number;
  /** Of the CPU: recording and encoding. */
  readonly encode: number;
}

const hasTimestamps = (gpu: Gpu) => gpu.device.features.has('timestamp-query');

export async function timeCommands(gpu: Gpu, dispatches: readonly EncodedDispatch[]): Promise<PlanTime> {
  const { device } = gpu;
  const timestamps = hasTimestamps(gpu) ? new PassTimestamps(gpu, 1) : null;
  try {
    const started = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass(timestamps ? { timestampWrites: timestamps.writes(0) } : {});
    for (const dispatch of dispatches) encodeDispatch(pass, dispatch);
    pass.end();
    const buffer = encoder.finish();
    const encoded = performance.now();
    device.queue.submit([buffer]);
    await device.queue.onSubmittedWorkDone();
    const wall = performance.now() - encoded;
    const spans = timestamps ? await timestamps.read() : null;
    return { gpu: spans ? spans[0].end - spans[0].begin : null, wall, encode: encoded - started };
  } finally {
    timestamps?.dispose();
  }
}

/** A pass for each dispatch; submits are as long as a plan's own. */
export async function profileCommands(gpu: Gpu, commands: readonly TimedCommand[]): Promise<DispatchTime[]> {
  if (commands.length === 0) return [];
  const times = hasTimestamps(gpu) ? await timesByTimestamps(gpu, commands) : await timesByClock(gpu, commands);
  return commands.map(({ kernel, flops }, i) => ({
    kernel,
    flops,
    milliseconds: times[i].reduce((sum, time) => sum + time, 0),
    longest: Math.max(...times[i]),
  }));
}

/** Of each command's parts. */
async function timesByTimestamps(gpu: Gpu, commands: readonly TimedCommand[]): Promise<number[][]> {
  const { device } = gpu;
  const timestamps = new PassTimestamps(
    gpu,
    commands.reduce((sum, { dispatches }) => sum + dispatches.length, 0),
  );
  try {
    let encoder = device.createCommandEncoder();
    let milliseconds = 0;
    let passes = 0;
    for (const { dispatches, partMs } of commands) {
      for (const dispatch of dispatches) {
        const pass = encoder.beginComputePass({ timestampWrites: timestamps.writes(passes++) });
        encodeDispatch(pass, dispatch);
        pass.end();
        milliseconds += partMs;
        if (milliseconds < SUBMIT_MS) continue;
        device.queue.submit([encoder.finish()]);
        encoder = device.createCommandEncoder();
        milliseconds = 0;
      }
    }
    device.queue.submit([encoder.finish()]);
    const spans = await timestamps.read();
    // A pass may take its first timestamp while the pass before it still works: that time is the other's.
    const times = spans.map(({ begin, end }, i) =>
      Math.max(0, end - Math.max(begin, i > 0 ? spans[i - 1].end : begin)),
    );
    let at = 0;
    return commands.map(({ dispatches }) => {
      at += dispatches.length;
      return times.slice(at - dispatches.length, at);
    });
  } finally {
    timestamps.dispose();
  }
}

/** Milliseconds a measurement by the clock should take: a hundred times what a submit costs. */
const CLOCK_MS = 10;
const MOST_REPEATS = 256;

/** Each dispatch that differs is repeated on its own; equal ones are taken to last equally long. */
async function timesByClock(gpu: Gpu, commands: readonly TimedCommand[]): Promise<number[][]> {
  const { device } = gpu;
  const run = async (dispatch: EncodedDispatch | null, repeats: number) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; dispatch && i < repeats; i++) encodeDispatch(pass, dispatch);
    pass.end();
    const started = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - started;
  };
  await run(null, 0);
  const nothing = Math.min(await run(null, 0), await run(null, 0), await run(null, 0));
  const known = new Map<string, number>();
  const time = async (dispatch: EncodedDispatch, key: string) => {
    let ms = known.get(key);
    if (ms === undefined) {
      const once = Math.max(1e-3, (await run(dispatch, 1)) - nothing);
      const repeats = Math.min(MOST_REPEATS, Math.ceil(CLOCK_MS / once));
      ms = repeats > 1 ? Math.max(0, (await run(dispatch, repeats)) - nothing) / repeats : once;
      known.set(key, ms);
    }
    return ms;
  };
  const times: number[][] = [];
  for (const { kernel, flops, dispatches } of commands) {
    const own: number[] = [];
    for (const dispatch of dispatches)
      own.push(await time(dispatch, `${variantKey(kernel)} ${flops} ${dispatch.size}`));
    times.push(own);
  }
  return times;
}
