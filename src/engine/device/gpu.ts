/** Getting a device: adapter with retry, what it can do, and the ledger and pipelines that go with it. */
import { PipelineCache } from '../kernels/pipeline_cache.ts';
import { Pacing } from '../plan/pacing.ts';
import { AttentionChoices } from '../tuning/attention_choices.ts';
import { MatmulChoices } from '../tuning/matmul_choices.ts';
import type { Capabilities, SubgroupMatrixConfig } from './capabilities.ts';
import { MemoryLedger } from './ledger.ts';

export class NoGpuError extends Error {
  override name = 'NoGpuError';
}

/** A device with all that is bound to its life. */
export interface Gpu {
  readonly device: GPUDevice;
  readonly capabilities: Capabilities;
  readonly ledger: MemoryLedger;
  readonly pipelines: PipelineCache;
  /** Which variant each matmul gets on this device, and each pass of attention. */
  readonly matmulChoices: MatmulChoices;
  readonly attentionChoices: AttentionChoices;
  /** How long each kind of dispatch takes on it. */
  readonly pacing: Pacing;
  /** Resolves when the device is lost. */
  readonly lost: Promise<GPUDeviceLostInfo>;
  /** Throws the first validation or out-of-memory error the device has reported since the last call. */
  check(): void;
  dispose(): void;
}

export interface AcquireOptions {
  /** Keep to WebGPU's default limits and features, as the weakest device would give. */
  readonly defaultLimits?: boolean;
  readonly attempts?: number;
}

const WANTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;

/** Used wherever an adapter has them; nothing needs them. */
const WANTED_FEATURES: readonly string[] = [
  'timestamp-query',
  'subgroups',
  'shader-f16',
  'chromium-experimental-subgroup-matrix',
];

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Asks for an adapter until one comes: the first request can answer null while the GPU process is starting.
 *
 * @throws NoGpuError when none came after all attempts.
 */
export async function acquireGpu(api: GPU | undefined, options: AcquireOptions = {}): Promise<Gpu> {
  if (!api)
    throw new NoGpuError('This browser has no WebGPU. Open the page in a current Chrome, Edge, Safari or Firefox.');
  let adapter: GPUAdapter | null = null;
  const attempts = options.attempts ?? 20;
  for (let i = 0; i < attempts && !adapter; i++) {
    if (i > 0) await sleep(Math.min(250, 50 * i));
    adapter = await api.requestAdapter({ powerPreference: 'high-performance' });
  }
  if (!adapter) {
    throw new NoGpuError(
      'WebGPU is there but no graphics adapter answered. Restart the browser, turn on hardware acceleration, and update the graphics driver.',
    );
  }
  const requiredLimits: Record<string, number> = {};
  if (!options.defaultLimits) for (const limit of WANTED_LIMITS) requiredLimits[limit] = adapter.limits[limit];
  const has: ReadonlySet<string> = adapter.features;
  const enabled = options.defaultLimits ? [] : WANTED_FEATURES.filter((feature) => has.has(feature));
  const device = await adapter.requestDevice({
    requiredLimits,
    requiredFeatures: enabled as GPUFeatureName[],
  });
  const { vendor, architecture, device: model, description } = adapter.info;
  const info = adapter.info as GPUAdapterInfo & {
    subgroupMaxSize?: number;
    isFallbackAdapter?: boolean;
    subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
  };
  const matrices = enabled.includes('chromium-experimental-subgroup-matrix') ? info.subgroupMatrixConfigs : undefined;
  const capabilities: Capabilities = {
    name: [vendor, architecture, model, description].filter(Boolean).join(' ') || 'unnamed adapter',
    features: [...adapter.features].sort(),
    enabled,
    // Copied field by field: what the browser gives has getters, which postMessage drops.
    subgroupMatrixConfigs: [...(matrices ?? [])].map(({ componentType, resultComponentType, M, N, K }) => ({
      componentType,
      resultComponentType,
      M,
      N,
      K,
    })),
    software:
      info.isFallbackAdapter === true ||
      /swiftshader|llvmpipe|basic render/i.test(`${architecture} ${model} ${description}`),
    subgroupSize: info.subgroupMaxSize || null,
    workgroupStorageBytes: device.limits.maxComputeWorkgroupStorageSize,
    maxBindingBytes: device.limits.maxStorageBufferBindingSize,
    maxBufferBytes: device.limits.maxBufferSize,
  };
  let firstError: GPUError | null = null;
  device.addEventListener('uncapturederror', (event) => {
    firstError ??= event.error;
  });
  return {
    device,
    capabilities,
    ledger: new MemoryLedger(device),
    pipelines: new PipelineCache(device),
    matmulChoices: new MatmulChoices(),
    attentionChoices: new AttentionChoices(),
    pacing: new Pacing(),
    lost: device.lost,
    check() {
      if (!firstError) return;
      const error = firstError;
      firstError = null;
      throw new Error(`${error.constructor.name}: ${error.message}`);
    },
    dispose() {
      device.destroy();
    },
  };
}
