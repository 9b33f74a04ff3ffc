/** A bench: what the device can do at best, then kernels, training steps and loading against it. */
import { measureCeilings } from '../engine/bench/ceilings.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import type { BenchContext } from './bench_context.ts';
import { benchGeneration } from './bench_generate.ts';
import { benchKernels } from './bench_kernels.ts';
import { benchLoading } from './bench_load.ts';
import { benchPaging } from './bench_paging.ts';
import type { BenchDevice, BenchFailure, BenchReport, BenchRequest } from './bench_report.ts';
import { benchShapes } from './bench_shapes.ts';
import { benchStreaming } from './bench_streaming.ts';
import { benchTraining } from './bench_train.ts';
import { withGpu } from './gpu_session.ts';
import type { WorkerPorts } from './ports.ts';
import type { RunCommand, WorkerEvent } from './protocol.ts';

/** Emits `device`, `bench-progress` and at last `benched`. An abort ends it after the measurement in flight. */
export async function benchRun(
  command: Extract<RunCommand, { type: 'bench' }>,
  emit: (event: WorkerEvent) => void,
  ports: WorkerPorts,
  signal: AbortSignal,
): Promise<void> {
  const { runId, bench: request } = command;
  await withGpu(
    ports,
    (adapter) => emit({ type: 'device', runId, adapter }),
    async (gpu) => {
      const say = (text: string) => emit({ type: 'bench-progress', runId, text });
      const size = request.size ?? (gpu.capabilities.software ? 'small' : 'full');
      say('ceilings');
      const ceilings = await measureCeilings(gpu);
      gpu.check();
      const failures: BenchFailure[] = [];
      const context: BenchContext = {
        gpu,
        request,
        size,
        ceilings,
        signal,
        openDisk: ports.openScratchDisk ? () => ports.openScratchDisk!() : null,
        say,
        attempt: (name, measure) => attempt(gpu, failures, name, measure),
      };
      const wants = (kind: BenchRequest['kinds'][number]) => request.kinds.includes(kind) && !signal.aborted;
      const kernels = wants('kernels') ? await benchKernels(context) : [];
      const train = wants('train') ? await benchTraining(context) : [];
      const generate = wants('generate') ? await benchGeneration(context) : [];
      const load = wants('load') ? await benchLoading(context) : [];
      const models = wants('models') ? await benchShapes(context) : [];
      const paging = wants('paging') ? await benchPaging(context) : null;
      const streaming = wants('streaming') ? await benchStreaming(context) : [];
      const report: BenchReport = {
        format: 'nibble-bench',
        version: 1,
        date: new Date().toISOString(),
        size,
        device: describeDevice(gpu),
        ceilings,
        kernels,
        train,
        generate,
        load,
        models,
        ...(paging ? { paging } : {}),
        streaming,
        failures,
        stopped: signal.aborted,
      };
      emit({ type: 'benched', runId, report });
    },
  );
}

async function attempt<T>(
  gpu: Gpu,
  failures: BenchFailure[],
  name: string,
  measure: () => Promise<T>,
): Promise<T | null> {
  const before = new Set(gpu.ledger.buffers());
  try {
    const result = await measure();
    gpu.check();
    return result;
  } catch (error) {
    const { name: kind, message } = error instanceof Error ? error : new Error(String(error));
    failures.push({ name, error: `${kind}: ${message.slice(0, 600)}` });
    for (const buffer of gpu.ledger.buffers()) if (!before.has(buffer)) gpu.ledger.destroy(buffer);
    // What the device reported of this failure must not be taken for the next one's.
    await gpu.device.queue.onSubmittedWorkDone().catch(() => undefined);
    try {
      gpu.check();
    } catch {
      // Noted already.
    }
    return null;
  }
}

function describeDevice({ device, capabilities }: Gpu): BenchDevice {
  const { name, software, features, enabled, subgroupSize, subgroupMatrixConfigs } = capabilities;
  const { limits } = device;
  return {
    name,
    software,
    features,
    enabled,
    subgroupSize,
    subgroupMatrixConfigs: subgroupMatrixConfigs.map(
      ({ M, N, K, componentType, resultComponentType }) => `${M}×${N}×${K} ${componentType}→${resultComponentType}`,
    ),
    limits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    },
    host: globalThis.process?.versions?.node
      ? `Node ${globalThis.process.versions.node}`
      : (globalThis.navigator?.userAgent ?? 'unknown'),
  };
}
