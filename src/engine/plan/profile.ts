/**
 * How long dispatches take: by timestamps of the GPU where it has them, else by the clock. A page's timestamps are
 * rounded to about 0.1 ms (Dawn: `timestamp_quantization`), so that a short dispatch's time is right on average only.
 */
import type { Gpu } from '../device/gpu.ts';
import { type KernelDefinition, variantKey } from '../kernels/kernel.ts';
import { PassTimestamps } from './timestamps.ts';

/** A dispatch with its size decided. */
export interface TimedCommand {
  readonly kernel: KernelDefinition;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly size: readonly [number, number, number];
  /** As the plan estimates them. */
  readonly flops: number;
}

export interface DispatchTime {
  readonly kernel: KernelDefinition;
  readonly flops: number;
  readonly milliseconds: number;
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

function encode(pass: GPUComputePassEncoder, { pipeline, bindGroup, size }: TimedCommand): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(...size);
}

export async function timeCommands(gpu: Gpu, commands: readonly TimedCommand[]): Promise<PlanTime> {
  const { device } = gpu;
  const timestamps = hasTimestamps(gpu) ? new PassTimestamps(gpu, 1) : null;
  try {
    const started = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass(timestamps ? { timestampWrites: timestamps.writes(0) } : {});
    for (const command of commands) encode(pass, command);
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

/** A pass for each command; submits hold `flopsPerSubmit` at most, as a plan's own do. */
export async function profileCommands(
  gpu: Gpu,
  commands: readonly TimedCommand[],
  flopsPerSubmit: number,
): Promise<DispatchTime[]> {
  if (commands.length === 0) return [];
  const times = hasTimestamps(gpu)
    ? await timesByTimestamps(gpu, commands, flopsPerSubmit)
    : await timesByClock(gpu, commands);
  return commands.map(({ kernel, flops }, i) => ({ kernel, flops, milliseconds: times[i] }));
}

async function timesByTimestamps(
  gpu: Gpu,
  commands: readonly TimedCommand[],
  flopsPerSubmit: number,
): Promise<number[]> {
  const { device } = gpu;
  const timestamps = new PassTimestamps(gpu, commands.length);
  try {
    let encoder = device.createCommandEncoder();
    let flops = 0;
    for (const [i, command] of commands.entries()) {
      const pass = encoder.beginComputePass({ timestampWrites: timestamps.writes(i) });
      encode(pass, command);
      pass.end();
      flops += command.flops;
      if (flops < flopsPerSubmit) continue;
      device.queue.submit([encoder.finish()]);
      encoder = device.createCommandEncoder();
      flops = 0;
    }
    device.queue.submit([encoder.finish()]);
    const spans = await timestamps.read();
    // A pass may take its first timestamp while the pass before it still works: that time is the other's.
    return spans.map(({ begin, end }, i) => Math.max(0, end - Math.max(begin, i > 0 ? spans[i - 1].end : begin)));
  } finally {
    timestamps.dispose();
  }
}

/** Milliseconds a measurement by the clock should take: a hundred times what a submit costs. */
const CLOCK_MS = 10;
const MOST_REPEATS = 256;

/** Each dispatch that differs is repeated on its own; equal ones are taken to last equally long. */
async function timesByClock(gpu: Gpu, commands: readonly TimedCommand[]): Promise<number[]> {
  const { device } = gpu;
  const run = async (command: TimedCommand | null, repeats: number) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; command && i < repeats; i++) encode(pass, command);
    pass.end();
    const started = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - started;
  };
  await run(null, 0);
  const nothing = Math.min(await run(null, 0), await run(null, 0), await run(null, 0));
  const known = new Map<string, number>();
  const times: number[] = [];
  for (const command of commands) {
    const key = `${variantKey(command.kernel)} ${command.size} ${command.flops}`;
    let time = known.get(key);
    if (time === undefined) {
      const once = Math.max(1e-3, (await run(command, 1)) - nothing);
      const repeats = Math.min(MOST_REPEATS, Math.ceil(CLOCK_MS / once));
      time = repeats > 1 ? Math.max(0, (await run(command, repeats)) - nothing) / repeats : once;
      known.set(key, time);
    }
    times.push(time);
  }
  return times;
}
